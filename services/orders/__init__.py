"""The orders service; `app.build` wires it."""
