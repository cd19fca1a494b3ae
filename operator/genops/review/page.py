"""The page: which address answers what. Files of HTML, script and style are as they are; whatever comes from models,
data or people travels as JSON or as a file of its own, and is put into the page as text.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any, cast

from aiohttp import web

from gencontract.deck import LETTERS, Media
from genops.core.model import Manifest
from genops.review.desk import turn
from genops.review.errors import ReviewError
from genops.review.guard import BODY_LIMIT, SESSION, Guard
from genops.review.logins import Login
from genops.review.reviewer import Reviewer
from genops.review.sessions import LIFETIME_SECONDS, Sessions
from genops.review.store import Report, from_folder, from_url

TYPES: Mapping[str, str] = {"png": "image/png", "txt": "text/plain", "wav": "audio/wav"}
STATIC = {"review.js": "text/javascript", "login.js": "text/javascript", "review.css": "text/css"}
LONGEST_COMMENT = 2000


@dataclass
class Page:
    """One page for the evaluations of one namespace."""

    login: Login
    stores: Mapping[str, Path]
    secure: bool  # whether browsers reach it by https alone
    hosts: frozenset[str] = frozenset()  # names by which it may be called; empty: any
    _reports: dict[str, Report] = field(default_factory=dict)  # by digest

    def application(self) -> web.Application:
        """Build the web application."""
        self._guard = Guard(Sessions(), self.secure, self.hosts)
        app = web.Application(middlewares=[self._guard.middleware()], client_max_size=BODY_LIMIT)
        app.add_routes(
            [
                web.get("/healthz", _well),
                web.get("/login", _html("login.html")),
                web.post("/login", self._log_in),
                web.get("/", _html("list.html")),
                web.get("/e/{name}", _html("review.html")),
                web.get("/static/{name}", _static),
                web.get("/api/session", self._session),
                web.get("/api/evaluations", self._evaluations),
                web.get("/api/e/{name}", self._card),
                web.post("/api/e/{name}", self._judge),
                web.get("/api/e/{name}/{number:[0-9]+}/{side:[ab]}.{media:png|txt|wav}", self._sample),
            ]
        )
        return app

    async def _log_in(self, request: web.Request) -> web.StreamResponse:
        said = await _json(request)
        cookie = await self._guard.sessions.open(await self.login.reviewer(str(said.get("secret", ""))))
        answer = web.json_response({})
        answer.set_cookie(
            self._guard.cookie,
            cookie,
            max_age=int(LIFETIME_SECONDS),
            httponly=True,
            samesite="Strict",
            secure=self.secure,
            path="/",
        )
        return answer

    async def _session(self, request: web.Request) -> web.Response:
        session = request[SESSION]
        return web.json_response({"name": session.reviewer.name, "csrf": session.csrf})

    async def _evaluations(self, request: web.Request) -> web.Response:
        waiting = await request[SESSION].reviewer.waiting()
        return web.json_response([{"name": e["metadata"]["name"], "question": _question(e)} for e in waiting])

    async def _card(self, request: web.Request) -> web.Response:
        reviewer, (evaluation, report) = request[SESSION].reviewer, await self._opened(request)
        needed = int(evaluation["spec"]["human"].get("raters", 1))
        now = turn(report.deck, reviewer.name, needed, await reviewer.said(evaluation["metadata"]["name"]))
        prompt = report.deck.cards[now.card].prompt if now.card is not None else ""
        told = {"card": now.card, "done": now.done, "total": now.total, "prompt": prompt, "media": report.deck.media}
        return web.json_response({**told, "question": _question(evaluation)})

    async def _judge(self, request: web.Request) -> web.Response:
        evaluation, report = await self._opened(request)
        said = await _json(request)
        card, choice, comment = said.get("card"), said.get("choice"), str(said.get("comment") or "")
        if type(card) is not int or not 0 <= card < len(report.deck.cards):
            raise ReviewError(f"card: {card!r} is none of the {len(report.deck.cards)} cards", 400)
        if choice not in LETTERS:
            raise ReviewError(f"choice: {choice!r} is none of {', '.join(LETTERS)}", 400)
        if len(comment) > LONGEST_COMMENT:
            raise ReviewError(f"comment: at most {LONGEST_COMMENT} characters", 400)
        await request[SESSION].reviewer.judge(evaluation, card, choice, comment)
        return await self._card(request)

    async def _sample(self, request: web.Request) -> web.Response:
        _, report = await self._opened(request)
        number, side = int(request.match_info["number"]), request.match_info["side"]
        media = cast(Media, request.match_info["media"])
        if number >= len(report.deck.cards) or media not in report.deck.media:
            raise ReviewError("There is no such sample", 404)
        rater = request[SESSION].reviewer.name
        data = await asyncio.to_thread(report.sample, number, side, rater, media)
        return web.Response(body=data, content_type=TYPES[media], charset="utf-8" if media == "txt" else None)

    async def _opened(self, request: web.Request) -> tuple[Manifest, Report]:
        """Open the report of an evaluation; one that was opened is kept by its digest."""
        reviewer = request[SESSION].reviewer
        evaluation = await reviewer.evaluation(request.match_info["name"])
        where = evaluation["status"]["report"]
        if where["digest"] not in self._reports:
            self._reports[where["digest"]] = await self._report(reviewer, where["uri"], where["digest"])
        return evaluation, self._reports[where["digest"]]

    async def _report(self, reviewer: Reviewer, uri: str, digest: str) -> Report:
        read = from_folder(await reviewer.folder(uri, self.stores)) if uri.startswith("pvc://") else from_url(uri)
        return await asyncio.to_thread(Report, uri, digest, read)


def _question(evaluation: Manifest) -> str:
    return str(evaluation["spec"].get("human", {}).get("question", ""))


async def _json(request: web.Request) -> dict[str, Any]:
    try:
        said = await request.json()
    except ValueError:
        said = None
    if not isinstance(said, dict):
        raise ReviewError("The body must be a JSON object", 400)
    return said


async def _well(_: web.Request) -> web.Response:
    return web.Response(text="ok\n")


def _html(name: str) -> Any:
    text = _file(name)

    async def answer(_: web.Request) -> web.Response:
        return web.Response(text=text, content_type="text/html")

    return answer


async def _static(request: web.Request) -> web.Response:
    name = request.match_info["name"]
    if name not in STATIC:
        raise ReviewError("There is no such file", 404)
    return web.Response(text=_file(name), content_type=STATIC[name])


def _file(name: str) -> str:
    return (files(__package__) / "static" / name).read_text(encoding="utf-8")
