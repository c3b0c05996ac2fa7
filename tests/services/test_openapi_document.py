"""Schemathesis over the whole OpenAPI document: what it allows never gives 5xx, what it forbids gives 4xx.

Each answer is one that the document names.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from pydantic import SecretStr
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import positive_data_acceptance

from eventbus.testing import Harness
from services.orders import app as orders
from services.orders.settings import OrdersSettings

OPERATIONS = ("POST /orders", "GET /orders", "GET /orders/{order_id}", "GET /healthz", "GET /readyz")
# JSON Schema cannot say all that is refused: an article twice, a total too high, an address that no mail reaches
NOT_ASKED = [positive_data_acceptance]


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[orders.OrdersApp]:
    url = f"sqlite:///{tmp_path_factory.mktemp('document') / 'orders.db'}"
    app = orders.build(OrdersSettings(database_url=SecretStr(url), port=0, sqlite_synchronous="OFF"))
    with Harness() as harness:
        harness.start(app.service)
        yield app
        harness.close()
    app.store.database.close()


def test_the_operations_tried_are_all_there_are(api: orders.OrdersApp) -> None:
    schema = schemathesis.openapi.from_wsgi("/openapi/openapi.json", api.api)
    assert sorted(each.ok().label for each in schema.get_all_operations()) == sorted(OPERATIONS)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("label", OPERATIONS)
@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=lambda mode: mode.value)
def test_each_answer_is_one_that_the_document_names(api: orders.OrdersApp, label: str, mode: GenerationMode) -> None:
    schema = schemathesis.openapi.from_wsgi("/openapi/openapi.json", api.api)
    operation = schema.find_operation_by_label(label)
    assert operation is not None
    if mode is GenerationMode.NEGATIVE and not (operation.body or operation.query or operation.path_parameters):
        return  # nothing can be said wrongly there
    seen: set[int] = set()

    @given(case=operation.as_strategy(generation_mode=mode))
    @settings(
        max_examples=50, deadline=None, database=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
    )
    def ask(case: schemathesis.Case) -> None:
        answer = case.call()
        seen.add(answer.status_code)
        case.validate_response(answer, excluded_checks=NOT_ASKED)  # negative_data_rejection is among them
        assert answer.status_code < 500

    ask()
    if mode is GenerationMode.POSITIVE:
        assert seen <= {200, 201, 404, 409, 422}
    else:  # 200: an empty list in a query is not there any more when it is written into a URL
        assert seen <= {200, 400, 404, 405, 415, 422}
        assert seen & {400, 404, 405, 415, 422}


def test_each_refusal_is_declared_as_a_problem(api: orders.OrdersApp) -> None:
    document = api.api.test_client().get("/openapi/openapi.json").json
    for path, operations in document["paths"].items():
        for operation in operations.values():
            for code, response in operation["responses"].items():
                kinds = list(response.get("content", {}))
                if code.startswith("4"):
                    assert kinds == ["application/problem+json"], (path, code)
