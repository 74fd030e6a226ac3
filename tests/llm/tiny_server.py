"""An OpenAI-compatible server of a real language model that tells probabilities.

Run as a process of its own: ``tiny_server.py PORT LOG FOLDER``. It serves the model in FOLDER under
the folder's name, prints its port when it is ready, and writes a line to LOG, the hash of the
prompt, before each answer leaves it. `transformers serve` tells no probabilities; other servers
that do want a compiler or a GPU.
"""

import copy
import hashlib
import json
import os
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # before transformers reads it

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, DynamicCache

KNOWN = {"model", "messages", "max_tokens", "temperature", "seed", "logprobs", "top_logprobs"}


class BadRequestError(Exception):
    """What the server refuses: a status and a sentence."""


class Served:
    """The model: one forward pass at a time, as on a single device.

    All prompts of a kind begin with the same task, so what the model makes of a prompt's first
    message is kept for the next one.
    """

    def __init__(self, folder: Path) -> None:
        self.name = folder.name
        self._tokenizer = AutoTokenizer.from_pretrained(folder)
        self._model = AutoModelForCausalLM.from_pretrained(folder, dtype="auto").eval()
        ends = self._model.generation_config.eos_token_id
        self._ends = set(ends if isinstance(ends, list) else [ends])
        self._task, self._task_cache = torch.zeros(1, 0, dtype=torch.long), DynamicCache()
        self._lock = threading.Lock()

    def complete(self, request: dict[str, Any]) -> dict[str, Any]:
        """A chat completion."""
        if request.get("model") != self.name:
            raise BadRequestError(404, f"The model `{request.get('model')}` does not exist.")
        if unknown := sorted(request.keys() - KNOWN):
            raise BadRequestError(400, f"Unsupported parameters: {', '.join(unknown)}")
        try:
            inputs = self._tokenizer.apply_chat_template(
                request["messages"],
                add_generation_prompt=True,
                return_tensors="pt",
                return_dict=True,
            )
            n_answer, temperature = int(request["max_tokens"]), float(request["temperature"])
            n_top = int(request["top_logprobs"]) if request.get("logprobs") else 0
        except (LookupError, TypeError, ValueError) as error:
            raise BadRequestError(400, f"{type(error).__name__}: {error}") from error
        n_prompt, longest = inputs["input_ids"].shape[1], self._model.config.max_position_embeddings
        if n_prompt + n_answer > longest:
            raise BadRequestError(
                400,
                f"This model's maximum context length is {longest} tokens. However, you requested"
                f" {n_prompt + n_answer} tokens ({n_prompt} in the messages, {n_answer} in the"
                " completion).",
            )
        sampling = {"do_sample": True, "temperature": temperature} if temperature else {}
        with self._lock:
            if request.get("seed") is not None:
                torch.manual_seed(request["seed"])
            made = self._model.generate(
                **inputs,
                past_key_values=self._begun(request["messages"][:1], inputs["input_ids"]),
                max_new_tokens=n_answer,
                output_logits=True,
                return_dict_in_generate=True,
                **sampling,
            )
        tokens = made.sequences[0, n_prompt:].tolist()
        is_ended = tokens[-1] in self._ends
        said = tokens[:-1] if is_ended else tokens
        choice: dict[str, Any] = {
            "index": 0,
            "message": {"role": "assistant", "content": self._tokenizer.decode(said)},
            "finish_reason": "stop" if is_ended else "length",
            "logprobs": None,
        }
        if n_top:
            rows = [logits[0].log_softmax(-1) for logits in made.logits[: len(said)]]
            content = [self._told(row, token, n_top) for row, token in zip(rows, said, strict=True)]
            choice["logprobs"] = {"content": content}
        return {
            "object": "chat.completion",
            "model": self.name,
            "choices": [choice],
            "usage": {
                "prompt_tokens": n_prompt,
                "completion_tokens": len(tokens),
                "total_tokens": n_prompt + len(tokens),
            },
        }

    def _begun(self, first: list[Any], tokens: torch.Tensor) -> DynamicCache | None:
        """Keys and values of the tokens (1, L) that the first message alone begins with, too."""
        alone = self._tokenizer.apply_chat_template(first, return_tensors="pt", return_dict=True)
        alone = alone["input_ids"][:, : tokens.shape[1] - 1]  # one token at least is left to read
        n_same = int((alone == tokens[:, : alone.shape[1]]).cumprod(1).sum())
        task = tokens[:, :n_same]
        if not n_same:
            return None
        if not torch.equal(task, self._task):
            cache = DynamicCache(config=self._model.config)
            with torch.no_grad():
                self._model(task, past_key_values=cache, logits_to_keep=1)
            self._task, self._task_cache = task, cache
        return copy.deepcopy(self._task_cache)

    def _told(self, logprobs: torch.Tensor, token: int, n_top: int) -> dict[str, Any]:
        """Log probabilities of a token and of those that might have stood there."""

        def named(token: int) -> dict[str, Any]:
            text = self._tokenizer.decode([token])
            return {"token": text, "logprob": logprobs[token].item(), "bytes": list(text.encode())}

        top = logprobs.topk(n_top).indices.tolist()
        return {**named(token), "top_logprobs": [named(other) for other in top]}


class Handler(BaseHTTPRequestHandler):
    """Chat completions."""

    protocol_version = "HTTP/1.1"
    wbufsize, disable_nagle_algorithm = -1, True  # else each answer waits for acknowledgements
    served: Served
    log: Any

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        try:
            try:
                request = json.loads(body)
                messages = json.dumps(request["messages"])
            except (ValueError, LookupError, TypeError) as error:
                raise BadRequestError(400, f"no chat completion request: {error}") from error
            answer, status = self.served.complete(request), 200
            self.log.write(hashlib.sha256(messages.encode()).hexdigest() + "\n")
        except BadRequestError as error:
            status, message = error.args
            answer = {"error": {"message": message, "type": "invalid_request_error"}}
        said = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)
        self.wfile.flush()

    def log_message(self, *_: object) -> None:
        """Nothing: the log is for answers."""


def main(port: str, log: str, folder: str) -> None:
    torch.set_num_threads(1)
    Handler.served = Served(Path(folder))
    ThreadingHTTPServer.request_queue_size = 128
    address = ("127.0.0.1", int(port))
    with ThreadingHTTPServer(address, Handler) as server, Path(log).open("a", buffering=1) as file:
        Handler.log = file
        print(server.server_address[1], flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
