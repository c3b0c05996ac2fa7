"""The fulfillment service; `app.build` wires it."""
