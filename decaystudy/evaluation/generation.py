"""Text from a model, a piece at a time as it is made."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from threading import Event, Thread
from typing import Any

import torch

from decaystudy.errors import UserError
from decaystudy.evaluation.lm_eval.quiet import quiet
from decaystudy.evaluation.tasks.compatibility import closed_words
from decaystudy.hub.from_run import hub_model, hub_tokenizer, is_hub_folder, load_hub_folder
from decaystudy.runs.loading import load_run


def stream(
    folder: str | Path,
    prompt: str,
    *,
    tokens: int = 100,
    temperature: float = 1.0,
    top_k: int = 0,
    top_p: float = 1.0,
    seed: int = 0,
    trusted: bool = False,
) -> Generator[str, None, None]:
    """The prompt and what the model makes of it.

    Args:
        folder: a run's, or one with a model in Hugging Face form.
        prompt: where it is empty, the text begins as a document does.
        tokens: maximum number added; the end of the document ends it sooner.
        temperature: 0 takes the most likely token each time.
        top_k: draw from this many most likely tokens; 0 for all.
        top_p: draw from the fewest tokens that have this probability together.
        seed: of the draws.
        trusted: whether code that a model in Hugging Face form brings or names may be run.
    """
    model: Any
    with quiet():
        if is_hub_folder(folder):
            model, tokenizer = load_hub_folder(folder, trusted=trusted)
        else:
            run = load_run(folder)
            model, tokenizer = hub_model(run), hub_tokenizer(run)
    from transformers import LogitsProcessorList, StoppingCriteriaList, TextIteratorStreamer

    ids = tokenizer(prompt, return_tensors="pt")["input_ids"].long() if prompt else None
    if ids is None or ids.shape[1] == 0:
        ids = torch.tensor([[tokenizer.eos_token_id]])
    torch.manual_seed(seed)
    how: dict[str, Any] = {"do_sample": False}
    if temperature > 0:
        how = {"do_sample": True, "temperature": temperature, "top_k": top_k, "top_p": top_p}
    closed, end = closed_words(tokenizer) is not None, tokenizer.eos_token
    yield prompt
    if prompt and not prompt[-1].isspace() and joins_by_spaces(tokenizer):
        yield " "
    # A closed vocabulary's word for all others is special too, and is shown; the end of the document never is.
    pieces = TextIteratorStreamer(tokenizer, skip_prompt=True, skip_special_tokens=not closed)
    failed: list[BaseException] = []

    def numbers(made: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
        if logits.isnan().any() or logits.isposinf().any():
            raise UserError(
                f"the model in {folder} gives logits that are not numbers: its training has diverged or its weights "
                "are damaged, so take another"
            )
        return logits

    unheard = Event()

    def work() -> None:
        try:
            model.generate(
                input_ids=ids.to(model.device),
                attention_mask=torch.ones_like(ids).to(model.device),
                max_new_tokens=tokens,
                pad_token_id=tokenizer.eos_token_id,
                streamer=pieces,
                logits_processor=LogitsProcessorList([numbers]),
                stopping_criteria=StoppingCriteriaList(
                    [lambda made, scores: torch.full((len(made),), unheard.is_set(), device=made.device)]
                ),
                **how,
            )
        except BaseException as error:
            failed.append(error)
            pieces.end()

    thread = Thread(target=work, daemon=True)
    thread.start()
    try:
        for piece in pieces:
            yield piece.replace(end, "") if closed and end else piece
    finally:
        unheard.set()  # a process that ends amid a step of its thread is aborted
        thread.join()
    if failed:
        raise failed[0]


def joins_by_spaces(tokenizer: Any) -> bool:
    """Whether the tokens are whole words, between which decoding puts a space."""
    fast = getattr(tokenizer, "backend_tokenizer", None)
    return fast is not None and fast.decoder is None
