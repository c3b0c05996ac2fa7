"""The email_confirmation service; `app.build` wires it."""
