"""lm-eval's model class over the models of this package, with batches sized for the machine."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from lm_eval.models.huggingface import HFLM
from torch import Tensor
from torch.nn.functional import log_softmax
from tqdm import tqdm
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from decaystudy.checks import check_batch_size
from decaystudy.errors import UserError
from decaystudy.evaluation.perplexity import rows_at_once
from decaystudy.hub import DecayStudyForCausalLM

GENERATED_AT_ONCE = 16
Request = tuple[Any, list[int], list[int]]
"""lm-eval's: something of its own, the context's tokens, the continuation's tokens."""


def language_model(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, batch_size: str = "auto") -> HFLM:
    """What lm-eval is given.

    Args:
        batch_size: a number is lm-eval's own batching and nothing else, so that results equal those of its command
            line with that batch size to the last bit; ``auto`` sizes batches by their tokens and, for the models of
            this package, reads a context that several answers have in common only once.

    Raises:
        UserError: the batch size is neither.
    """
    common: dict[str, Any] = {"pretrained": model, "tokenizer": tokenizer, "backend": "causal"}
    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    check_batch_size(batch_size)
    if str(batch_size) != "auto":
        return GeneratingLM(**common, batch_size=int(batch_size))
    if isinstance(model, DecayStudyForCausalLM):
        return SharedContextLM(**common, batch_size="auto")
    return SizedLM(**common, batch_size="auto")


class GeneratingLM(HFLM):  # type: ignore[misc]  # lm-eval has no types
    """lm-eval's model class, in which the answers of a model without a limit are as long as a task wants them."""

    _max_length: int | None

    def generate_until(self, requests: list[Any], disable_tqdm: bool = False) -> list[str]:
        wanted = max((longest_answer(request.args[1], self.max_gen_toks) for request in requests), default=0)
        limit, before = self.max_length, self._max_length
        if wanted >= limit:
            if not isinstance(self.model, DecayStudyForCausalLM):
                raise UserError(
                    f"an answer may have {wanted} tokens, where the model reads {limit} at once: leave its task out"
                )
            self._max_length = limit + wanted  # contexts are cut to what is left of it
        try:
            answers: list[str] = super().generate_until(requests, disable_tqdm)
        finally:
            self._max_length = before
        return answers


def longest_answer(settings: Mapping[str, Any], usual: int) -> int:
    """How many tokens a task wants to be generated at most; ``usual`` where it doesn't say."""
    names = ("max_gen_toks", "max_new_tokens", "max_tokens", "max_completion_tokens")
    return next((int(settings[name]) for name in names if settings.get(name) is not None), usual)


class SizedLM(GeneratingLM):
    """lm-eval's model class whose ``auto`` batch size is reckoned from the longest request, not found by failing."""

    def _detect_batch_size(self, requests: Sequence[Request] | None = None, pos: int = 0) -> int:
        length = self.max_length
        if requests:
            _, context, continuation = requests[pos]
            length = max(1, min(length, len(context) + len(continuation) - 1))
        return min(int(self.max_batch_size), rows_at_once(length, self.config.vocab_size))

    def _loglikelihood_tokens(
        self, requests: list[Request], disable_tqdm: bool = False, override_bs: int | None = None
    ) -> list[tuple[float, bool]]:
        if override_bs is None and self.batch_size == "auto" and requests:
            longest = max(range(len(requests)), key=lambda i: len(requests[i][1]) + len(requests[i][2]))
            override_bs = self._detect_batch_size(requests, longest)
        answers: list[tuple[float, bool]] = super()._loglikelihood_tokens(requests, disable_tqdm, override_bs)
        return answers


class SharedContextLM(GeneratingLM):
    """lm-eval's model class over a model with a decoding state.

    The contexts are read first, each once, in batches of like length; then the continuations, each from its context's
    state. So the four answers to a question cost one reading of it, and only tokens that are asked about are turned
    into logits.
    """

    def _detect_batch_size(self, requests: Sequence[Request] | None = None, pos: int = 0) -> int:
        # Only what generates asks for it, and what rolls over documents, whose batches are made below.
        return GENERATED_AT_ONCE if requests is None else len(requests)

    @torch.inference_mode()
    def _loglikelihood_tokens(
        self, requests: list[Request], disable_tqdm: bool = False, override_bs: int | None = None
    ) -> list[tuple[float, bool]]:
        """(log-likelihood of the continuation, whether it is the greedy one) of each request."""
        groups: dict[tuple[int, ...], list[int]] = {}
        for number, (_, context, continuation) in enumerate(requests):
            if not context or not continuation or len(continuation) > self.max_length:
                raise UserError(
                    f"a question has {len(context)} tokens and an answer {len(continuation)}, where "
                    f"{self.max_length} are read at once: leave its task out"
                )
            # As lm-eval cuts what is too long for the model: from the left, the last token not being read.
            cut = tuple(context[-(self.max_length + 1 - len(continuation)) :])
            groups.setdefault(cut, []).append(number)
        answers: dict[int, tuple[float, bool]] = {}
        bar = tqdm(total=len(requests), desc="answers", disable=disable_tqdm or not sys.stderr.isatty())
        for contexts in batched(sorted(groups, key=lambda c: (-len(c), c)), self._vocabulary):
            numbers = [number for context in contexts for number in groups[context]]
            rows = [row for row, context in enumerate(contexts) for _ in groups[context]]
            first, cache = self._read(contexts)
            order = sorted(range(len(rows)), key=lambda i: -len(requests[numbers[i]][2]))
            for some in batched_items(order, [len(requests[numbers[i]][2]) for i in order], self._vocabulary):
                chosen = torch.tensor([rows[i] for i in some], device=self.device)
                wanted = [requests[numbers[i]][2] for i in some]
                found = self._score(first[chosen], cache.select(chosen), wanted)
                answers.update(zip((numbers[i] for i in some), found, strict=True))
                bar.update(len(some))
        bar.close()
        for number, (asked, _, _) in enumerate(requests):
            if asked is not None:
                self.cache_hook.add_partial("loglikelihood", asked, answers[number])
        return [answers[number] for number in range(len(requests))]

    @property
    def _vocabulary(self) -> int:
        return int(self.config.vocab_size)

    def _read(self, contexts: Sequence[Sequence[int]]) -> tuple[Tensor, Any]:
        """Hidden state of each context's last token, (B, d), and the cache after it."""
        length = max(map(len, contexts))
        padded = torch.zeros(len(contexts), length, dtype=torch.long)
        mask = torch.zeros(len(contexts), length, dtype=torch.bool)
        for row, context in enumerate(contexts):
            padded[row, length - len(context) :] = torch.tensor(context)
            mask[row, length - len(context) :] = True
        same = bool(mask.all())
        hidden, cache = self.model.hidden(padded.to(self.device), attention_mask=None if same else mask.to(self.device))
        return hidden[:, -1], cache

    def _score(self, first: Tensor, cache: Any, continuations: Sequence[Sequence[int]]) -> list[tuple[float, bool]]:
        """Continuations of rows whose contexts ended in hidden state ``first``, (B, d)."""
        length = max(map(len, continuations))
        tokens = torch.zeros(len(continuations), length, dtype=torch.long)
        asked = torch.zeros(len(continuations), length, dtype=torch.bool)
        for row, continuation in enumerate(continuations):  # padding on the right changes nothing before it
            tokens[row, : len(continuation)] = torch.tensor(continuation)
            asked[row, : len(continuation)] = True
        tokens, asked = tokens.to(self.device), asked.to(self.device)
        hidden = first.unsqueeze(1)
        if length > 1:
            # The cache's own padding mask belongs to the context; the continuation has none.
            hidden = torch.cat((hidden, self.model.hidden(tokens[:, :-1], cache=cache)[0]), dim=1)
        logits = self.model.logits(hidden[asked])
        likelihood = log_softmax(logits, dim=-1, dtype=self.softmax_dtype)
        targets = tokens[asked]
        found = likelihood.gather(1, targets.unsqueeze(1)).squeeze(1)
        greedy = likelihood.argmax(dim=-1) == targets
        lengths = [len(continuation) for continuation in continuations]
        return [
            (float(piece.sum()), bool(right.all()))
            for piece, right in zip(found.split(lengths), greedy.split(lengths), strict=True)
        ]


def batched(contexts: Sequence[tuple[int, ...]], vocabulary: int) -> Iterator[list[tuple[int, ...]]]:
    """Contexts, the longest first, in batches of bounded size."""
    yield from batched_items(contexts, [len(context) for context in contexts], vocabulary)


def batched_items(items: Sequence[Any], lengths: Sequence[int], vocabulary: int) -> Iterator[list[Any]]:
    """Items in the order given, which is that of falling length, in batches that fit in memory once padded."""
    start = 0
    while start < len(items):
        stop = start + rows_at_once(lengths[start], vocabulary)
        yield list(items[start:stop])
        start = stop
