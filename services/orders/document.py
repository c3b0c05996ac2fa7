"""Document: the API's OpenAPI document, which says of problems what they are declared as."""

from __future__ import annotations

from typing import Any

from flask_openapi3.openapi import OpenAPI

PROBLEM = "application/problem+json"


class DocumentedApi(OpenAPI):
    """An application whose document declares each refusal as problem details."""

    @property
    def api_doc(self) -> dict[str, Any]:
        document: dict[str, Any] = super().api_doc
        for operations in document["paths"].values():
            for operation in operations.values():
                # what the library adds of itself where nothing was declared: a list of problems, which nobody gets
                said = operation["responses"].get("422", {}).get("content", {}).get("application/json", {})
                if said.get("schema", {}).get("type") == "array":
                    del operation["responses"]["422"]
                for response in operation["responses"].values():
                    content = response.get("content", {})
                    told = content.get("application/json", {}).get("schema", {})
                    if told.get("$ref", "").endswith("/Problem"):
                        content[PROBLEM] = content.pop("application/json")
        return document
