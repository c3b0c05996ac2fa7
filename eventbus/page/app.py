"""The page's web application: one page, a stream of looks, and answers to what its panels ask."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask import Flask, Response, jsonify, redirect, render_template, request, url_for

from eventbus.errors import EventBusError
from eventbus.page.access import Access, is_same_origin
from eventbus.page.acting import Acting
from eventbus.page.answers import Answers
from eventbus.page.chains import Chains
from eventbus.page.watch import Watch
from eventbus.runtime.redaction import one_line

_MOST_ASKED = 200
"""Longest text that is looked for, in characters."""


def make_app(about: str, access: Access, watch: Watch, answers: Answers, chains: Chains, acting: Acting) -> Flask:
    """Return the application.

    Args:
        about: the address of the bus, without its password.
    """
    app = Flask("eventbus.page")
    access.prepare(app)

    @app.before_request
    def shut_out() -> Any:
        if access.has_entered() or request.endpoint in ("enter", "static"):
            return None
        if request.endpoint == "page":
            return redirect(url_for("enter"))
        return _problem(401, "enter the token first")

    @app.get("/")
    def page() -> str:
        return render_template(
            "page.html", about=about, word=access.word() if access.allow else "", allowed=" ".join(sorted(access.allow))
        )

    @app.route("/enter", methods=["GET", "POST"])
    def enter() -> Any:
        if request.method == "POST":
            if is_same_origin(request) and access.enter(request.form.get("token", "")):
                return redirect(url_for("page"))
            return render_template("enter.html", about=about, is_wrong=True), 403
        return redirect(url_for("page")) if access.has_entered() else render_template("enter.html", about=about)

    @app.get("/flow")
    def flow() -> Response:
        frames = watch.frames(request.headers.get("Last-Event-ID"))
        return Response(frames, mimetype="text/event-stream", headers={"X-Accel-Buffering": "no"})

    @app.get("/answers/<name>")
    def answer(name: str) -> Any:
        try:
            return jsonify(answers.get(name))
        except KeyError:
            return _problem(404, "there is no such answer")

    @app.get("/journey")
    def journey() -> Any:
        return _asked(chains.journey)

    @app.get("/find")
    def find() -> Any:
        return _asked(chains.find, may_be_empty=True)

    @app.get("/ramps")
    def ramps() -> Any:
        return jsonify(acting.ramps())

    def act(action: str, do: Callable[[str, str, str], Any]) -> Any:
        refusal = access.refusal(request, action)
        if refusal is not None:
            return _problem(403, refusal)
        given = request.get_json(silent=True)
        texts = [given.get(name) if isinstance(given, dict) else None for name in ("topic", "channel", "key")]
        if not all(isinstance(each, str) and len(each) <= _MOST_ASKED for each in texts):
            return _problem(400, "give topic, channel and key as texts")
        topic, channel, key = map(str, texts)
        try:
            done = do(topic, channel, key)
        except EventBusError as error:
            return _problem(409, one_line(str(error), most=500))
        answers.forget("dead")
        return jsonify(done or {})

    @app.post("/rehearse")
    def rehearse() -> Any:
        return act("replay", acting.rehearse)

    @app.post("/replay")
    def replay() -> Any:
        by = f"page, from {request.remote_addr}"
        return act("replay", lambda topic, channel, key: acting.replay(topic, channel, key, by=by))

    @app.post("/pause")
    def pause() -> Any:
        by = f"page, from {request.remote_addr}"
        return act("pause", lambda topic, channel, key: acting.flow(topic, channel, is_paused=key == "pause", by=by))

    app.register_error_handler(404, lambda error: _problem(404, "there is no such page"))
    app.register_error_handler(405, lambda error: _problem(405, "that cannot be done here"))
    return app


def _asked(answer: Callable[[str], Any], *, may_be_empty: bool = False) -> Any:
    text = request.args.get("key", "").strip()
    if len(text) > _MOST_ASKED or not (text or may_be_empty):
        return _problem(400, f"give key: an id, a subject or a type of 1 to {_MOST_ASKED} characters")
    try:
        return jsonify(answer(text))
    except EventBusError as error:
        return jsonify({"problem": one_line(str(error), most=500)})


def _problem(status: int, text: str) -> tuple[Response, int]:
    return jsonify({"problem": text}), status
