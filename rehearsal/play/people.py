"""The people of a rehearsal: they get the mail that asks for approval, and answer it, each in a way of their own.

They are made up, as the fleet file says, or real ones with a browser.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urlsplit

from rehearsal.account import Observer
from rehearsal.engine.calls import ACCOUNT
from rehearsal.engine.messages import Message
from rehearsal.play.fleet_runs import Person
from rehearsal.play.parameters import write_parameter
from rehearsal.play.serve import serve_url

if TYPE_CHECKING:
    from rehearsal.account import EmbeddedAccount
    from rehearsal.engine.deployment import Stack

APPROVAL = "approval"
"""The kind, among a message's attributes, of the mail that asks for approval."""

_HASH = re.compile(r"^\s*Plan ([0-9a-f]{64})$", re.MULTILINE)
_LINK = re.compile(r"https://\S+/\?run=\S+&key=\S+")
_DEEDS = {"approve": "approves", "reject": "rejects", "sleep": "sleeps, and does not answer"}


@dataclass(frozen=True)
class Answer:
    """What a person did about a run, and what came of it. Status 0: nothing that is answered at once."""

    at: datetime
    person: str
    deed: str
    run_id: str
    status: int
    said: str

    @property
    def text(self) -> str:
        """Return the deed in half a sentence: `Yuki Tanaka approves: Run … is approved, and goes on.`"""
        return f"{self.person} {_DEEDS[self.deed]}" + (f": {self.said}" if self.said else "")


def arn_of(name: str) -> str:
    """Return the ARN of a person's user in the account."""
    return f"arn:aws:iam::{ACCOUNT}:user/{name.lower().replace(' ', '.')}"


class People(Observer):
    """Those who get the mails that ask for approval. Every mail makes each of them act once."""

    def __init__(
        self, account: EmbeddedAccount, people: Iterable[Person], stack: Stack, tell: Callable[[Answer], None]
    ) -> None:
        self.answers: list[Answer] = []
        self._account = account
        self._people = tuple(people)
        self._stack = stack.name
        self._url = stack.outputs.get("DecideUrl", "")
        self._tell = tell

    def message_published(self, message: Message) -> None:
        """Let everybody answer, each after a while."""
        if message.attributes.get("kind") != APPROVAL:
            return
        for person in self._people:

            def act(person: Person = person) -> None:
                self._act(person, message)

            # Who sleeps must not keep the rehearsal going.
            self._account.clock.call_later(person.after.total_seconds(), act, background=person.does == "sleep")

    def _act(self, person: Person, message: Message) -> None:
        run_id = message.attributes["run"]
        status, said = 0, ""
        if person.does != "sleep":
            ways = {"url": self._sign, "link": self._click, "parameter": self._write}
            status, said = ways[person.by](person, run_id, message.body)
        answer = Answer(self._account.clock.now(), person.name, person.does, run_id, status, said)
        self.answers.append(answer)
        self._tell(answer)

    def _sign(self, person: Person, run_id: str, mail: str) -> tuple[int, str]:
        """Answer by a signed request, as `drydock approve` does."""
        given = {"runId": run_id, "hash": _hash_of(mail), "decision": person.does, "reason": person.reason}
        response = self._account.urls.request(
            self._url,
            "POST",
            "/decide",
            headers={"content-type": "application/json"},
            body=json.dumps(given),
            signed_as=arn_of(person.name),
        )
        return response.status, str(_read_json(response.body).get("message", ""))

    def _click(self, person: Person, run_id: str, mail: str) -> tuple[int, str]:
        """Answer on the page behind the mail's link."""
        link = link_of(mail)
        page = _Page(self._account.urls.request(link).body)
        if not page.has_form:
            return 410, page.text
        fields = {**page.fields, "name": person.name, "reason": person.reason, "decision": person.does}
        response = self._account.urls.request(
            self._url,
            "POST",
            "/",
            headers={"content-type": "application/x-www-form-urlencoded"},
            body=urlencode(fields),
        )
        return response.status, _Page(response.body).text

    def _write(self, person: Person, run_id: str, mail: str) -> tuple[int, str]:
        """Answer with nothing but the AWS CLI: one line in a parameter."""
        name = f"/{self._stack}/decisions/{run_id}"
        value = f"{person.does} {_hash_of(mail)} {person.reason}".strip()
        write_parameter(self._account, name, value, arn_of(person.name))
        return 0, f"written in the parameter {name}"


class Visitors(Observer):
    """Lets real people answer: the page behind the mail's link is served to them, while virtual time stands still.

    `announce` hears of the page's address, and of its end when nobody came for so long that it was closed.
    """

    def __init__(
        self,
        account: EmbeddedAccount,
        stack: Stack,
        is_decided: Callable[[str], bool],
        announce: Callable[[str], None],
        port: int,
        patience: timedelta,
    ) -> None:
        self._account = account
        self._url = stack.outputs.get("DecideUrl", "")
        self._is_decided = is_decided
        self._announce = announce
        self._port = port
        self._patience = patience
        self._mails: list[Message] = []

    @property
    def are_asked(self) -> bool:
        """Say whether a mail has come that nobody has been shown."""
        return bool(self._mails)

    def message_published(self, message: Message) -> None:
        """Keep the mails that ask for approval."""
        if message.attributes.get("kind") == APPROVAL:
            self._mails.append(message)

    def receive(self) -> None:
        """Serve the page of the oldest mail until its run is decided, or nobody comes for too long."""
        mail = self._mails.pop(0)
        run_id = mail.attributes["run"]
        minutes = self._patience.total_seconds() / 60
        with serve_url(self._account, self._url, self._port) as server:
            query = urlsplit(link_of(mail.body)).query
            self._announce(
                f"Run {run_id} waits for approval. Open this address, and approve or reject (Ctrl-C ends all):\n"
                f"{server.address}/?{query}\n"
                f"Virtual time stands still until then, for {minutes:.0f} minutes at most between two clicks."
            )
            try:
                server.pump(lambda: self._is_decided(run_id), patience=self._patience.total_seconds())
            except TimeoutError:
                self._announce("Nobody came: the rehearsal goes on without an answer.")
            else:
                self._announce("Decided: the rehearsal goes on.")


def link_of(mail: str) -> str:
    """Return the link of a mail that asks for approval. Raises LookupError when there is none."""
    found = _LINK.search(mail)
    if found is None:
        raise LookupError("the mail has no link")
    return found[0]


def _hash_of(mail: str) -> str:
    found = _HASH.search(mail)
    if found is None:
        raise LookupError("the mail does not say which plan it is about")
    return found[1]


def _read_json(body: bytes) -> Mapping[str, Any]:
    try:
        value = json.loads(body)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


class _Page(HTMLParser):
    """What a person sees of a page: its first words, and the fields of its form."""

    def __init__(self, body: bytes) -> None:
        super().__init__()
        self.fields: dict[str, str] = {}
        self.has_form = False
        self._words: list[str] = []
        self._is_main = False
        self.feed(body.decode())

    @property
    def text(self) -> str:
        """Return the page's own sentence: the paragraph after its heading."""
        return self._words[0] if self._words else ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note forms, hidden fields and the beginnings of paragraphs."""
        given = dict(attrs)
        self._is_main = tag == "p"
        self.has_form = self.has_form or tag == "form"
        if tag == "input" and given.get("type") == "hidden":
            self.fields[given.get("name") or ""] = given.get("value") or ""

    def handle_data(self, data: str) -> None:
        """Note the text of paragraphs."""
        if self._is_main and data.strip():
            self._words.append(" ".join(data.split()))
