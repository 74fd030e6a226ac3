"""An OpenAI-compatible server that answers, fails and tells what it did as its script says.

Run as a process of its own: ``scripted_server.py PORT LOG SCRIPT_JSON``. It prints its port. Every
answer that leaves it whole is first a line of LOG, the prompt's last message; a broken one that is
billed nonetheless is ``#`` and its tokens. So a test can count after the process was killed.
"""

import asyncio
import hashlib
import json
import random
import re
import sys
from pathlib import Path
from typing import Any

SCRIPT: dict[str, Any] = {
    "latency_s": 0.05,
    "refused": 0.0,  # share of requests that get 429
    "retry_after": 0.0,  # share of those that say when to come back
    "retry_after_s": "1",
    "failed": 0.0,  # share that gets 500
    "hanging": 0.0,  # share that never gets an answer
    "broken": 0.0,  # share whose body is cut off, not JSON, or empty of answers
    "n_failing_first": 0,  # requests that get `first_status` before any is served
    "first_status": 500,
    "first_headers": "",
    "logprobs": True,  # False: 400 on the parameter
    "status": 200,  # of everything
    "has_usage": True,
    "plans": {},  # names, less those that were skipped, by the target's title (the last fence)
    "obeys": None,  # SHA-256 of what may stand outside fences; anything else there is obeyed: 1
    "says": None,  # always this text, without probabilities, instead of the right answer
    "seed": 0,
}
BROKEN = (
    b'{"id": "1", "choices": [{"message": {"role": "assi',
    b'"a JSON string"',
    b'{"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 0}}',
    b'{"choices": [{"index": 0}]}',
    b"<html>bad gateway</html>",
    b"",
)


class State:
    """What the server did so far."""

    def __init__(self, log: Path, script: dict[str, Any]) -> None:
        self.log = log.open("a", buffering=1)
        self.script = {**SCRIPT, **script}
        self.luck = random.Random(self.script["seed"])
        self.n_requests = self.n_connections = self.n_now = self.n_most = 0
        self.kinds: dict[str, int] = {}

    def kind(self) -> str:
        """What becomes of the next request."""
        if self.n_requests <= self.script["n_failing_first"]:
            return "first"
        left = self.luck.random()
        for kind in ("refused", "failed", "hanging", "broken"):
            if left < self.script[kind]:
                return kind
            left -= self.script[kind]
        return "served"


def answer_of(prompt: str) -> str:
    """The right answer to a prompt: one digit that only the prompt decides."""
    return str(hashlib.sha256(prompt.encode()).digest()[0] % 2)


def http(status: int, body: bytes, headers: str = "") -> bytes:
    head = (
        f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n{headers}\r\n"
    )
    return head.encode() + body


def error(status: int, message: str, headers: str = "") -> bytes:
    return http(status, json.dumps({"error": {"message": message}}).encode(), headers)


def plan_of(prompt: str, plans: dict[str, list[str]]) -> str:
    """The names toward a prompt's target, as JSON."""
    *_, skipped, target = re.findall(r"<titles>\n(.*?)</titles>", prompt, re.DOTALL)
    left = [name for name in plans[json.loads(target)] if json.dumps(name) not in skipped]
    return json.dumps(left)


def outside(messages: list[dict[str, str]]) -> str:
    """What a naive reader takes for instructions: all lines that stand in no fence."""
    found, is_open = [], False
    for line in "\n".join(m["content"] for m in messages).splitlines():
        if line.strip() in ("<titles>", "</titles>"):
            is_open = line.strip() == "<titles>"
        elif not is_open:
            found.append(line)
    return "\n".join(found)


def completion(request: dict[str, Any], prompt: str, script: dict[str, Any]) -> bytes:
    text = script["says"] or answer_of(prompt)
    if script["obeys"]:
        said = hashlib.sha256(outside(request["messages"]).encode("utf-8", "replace")).hexdigest()
        text = str(int(said != script["obeys"]))
    if script["plans"]:
        text = plan_of(prompt, script["plans"])
    choice: dict[str, Any] = {
        "index": 0,
        "message": {"role": "assistant", "content": text},
        "finish_reason": "stop",
        "logprobs": None,
    }
    if request.get("logprobs") and text in ("0", "1"):
        top = [{"token": text, "logprob": -0.25}, {"token": str(1 - int(text)), "logprob": -1.5}]
        choice["logprobs"] = {"content": [{**top[0], "bytes": None, "top_logprobs": top}]}
    body = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": request["model"],
        "choices": [choice],
    }
    if script["has_usage"]:
        n_words = sum(len(m["content"].split()) for m in request["messages"])
        body["usage"] = {
            "prompt_tokens": n_words,
            "completion_tokens": 1,
            "total_tokens": n_words + 1,
        }
    return http(200, json.dumps(body).encode())


class Connection(asyncio.Protocol):
    """One connection; requests come one after the other."""

    transport: asyncio.Transport

    def __init__(self, state: State) -> None:
        self.state, self.data = state, b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.state.n_connections += 1

    def data_received(self, data: bytes) -> None:
        arrived = asyncio.get_running_loop().time()
        self.data += data
        head, mark, body = self.data.partition(b"\r\n\r\n")
        if not mark:
            return
        fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
        if len(body) < int(fields.get(b"content-length", 0)):
            return
        self.data = b""
        if head.startswith(b"GET"):
            counted = {
                name: value
                for name, value in vars(self.state).items()
                if name.startswith("n_") or name == "kinds"
            }
            self.transport.write(http(200, json.dumps(counted).encode()))
            return
        self.request(json.loads(body), fields.get(b"authorization", b"").decode(), arrived)

    def request(self, request: dict[str, Any], key: str, arrived: float) -> None:
        state = self.state
        state.n_requests += 1
        state.n_now += 1
        state.n_most = max(state.n_most, state.n_now)
        kind = state.kind()
        state.kinds[kind] = state.kinds.get(kind, 0) + 1
        # Worked out while it waits, so that the latency is what the script says.
        reply, line = self.reply(kind, request, key)
        asyncio.get_running_loop().call_at(
            arrived + state.script["latency_s"], self.respond, reply, line
        )

    def reply(self, kind: str, request: dict[str, Any], key: str) -> tuple[bytes, str]:
        """What is sent, nothing if it never is, and the line that the log then gets."""
        state, script = self.state, self.state.script
        if kind == "hanging":
            return b"", ""
        if kind == "broken":
            body = state.luck.choice(BROKEN)
            return http(200, body), "# 5\n" if b"usage" in body else ""
        if kind == "refused":
            told = state.luck.random() < script["retry_after"]
            wait = f"Retry-After: {script['retry_after_s']}\r\n" * told
            return error(429, "slow down", wait), ""
        if kind == "failed":
            return error(500, "broken inside"), ""
        if kind == "first":
            return error(script["first_status"], "not yet", script["first_headers"]), ""
        if script["status"] != 200:
            return error(script["status"], f"refused {key}"), ""
        if request.get("logprobs") and not script["logprobs"]:
            return error(400, "logprobs are not supported by this model"), ""
        prompt = request["messages"][-1]["content"]
        return completion(request, prompt, script), prompt + "\n"

    def respond(self, reply: bytes, line: str) -> None:
        self.state.n_now -= 1
        if not reply or self.transport.is_closing():
            return
        if line:
            self.state.log.write(line)
        self.transport.write(reply)


async def serve(port: int, state: State) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(state), "127.0.0.1", port)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), State(Path(sys.argv[2]), json.loads(sys.argv[3]))))
