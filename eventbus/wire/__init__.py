"""From bytes to an envelope and back; `docs/wire-format.md` says it for other languages. Knows no service and no engine."""
