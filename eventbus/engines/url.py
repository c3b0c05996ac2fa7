"""Options of an engine: typed settings out of the query of a bus URL."""

from __future__ import annotations

from typing import TypeVar
from urllib.parse import parse_qsl, urlsplit

from pydantic import BaseModel, ValidationError

from eventbus.errors import ConfigurationError

Options = TypeVar("Options", bound=BaseModel)


def read_options(url: str, model: type[Options], **preset: object) -> Options:
    """Return the options in the query of `url` as a `model`, over the values in `preset`.

    Raises:
        ConfigurationError: names an option that is unknown, given twice, or of the wrong type. Values are not shown: one
            of them may be a password.
    """
    query = parse_qsl(urlsplit(url).query, keep_blank_values=True)
    given: dict[str, object] = {}
    for name, value in query:
        names = {field.alias or each for each, field in model.model_fields.items()}
        if name not in names:
            known = ", ".join(sorted(names))
            raise ConfigurationError(f"bus URL: unknown option {name!r}; known are {known}")
        if name in given:
            raise ConfigurationError(f"bus URL: option {name!r} is given twice")
        given[name] = value
    try:
        return model.model_validate({**preset, **given})
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        name = ".".join(str(part) for part in first["loc"]) or "options"
        raise ConfigurationError(f"bus URL: option {name!r}: {first['msg']}") from None
