"""Questions a second of evaluation with batches sized by their tokens, against lm-eval's batch size 1, in one run.

python benchmarks/evaluate.py                 160m on HellaSwag's first 8 questions (their data from the hub or cache)
python benchmarks/evaluate.py --tasks offline_continuation --scale small
"""

from __future__ import annotations

import argparse
import time

import torch

from decaystudy.data.config import DataConfig
from decaystudy.data.tokenizers.names import named_folder
from decaystudy.data.tokenizers.opening import fetch_tokenizer
from decaystudy.evaluation.evaluate import evaluate_task
from decaystudy.evaluation.lm_eval.model import language_model
from decaystudy.evaluation.lm_eval.quiet import quiet
from decaystudy.evaluation.lm_eval.tasks import load_tasks
from decaystudy.hub import DecayStudyForCausalLM
from decaystudy.model import DecayTransformer, ModelConfig


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", default="160m")
    parser.add_argument("--tasks", default="hellaswag")
    parser.add_argument("--limit", type=int, default=8)
    parser.add_argument("--decay", default="mamba2")
    parser.add_argument("--rounds", type=int, default=2)
    given = parser.parse_args()
    from transformers import PreTrainedTokenizerFast

    fetch_tokenizer(DataConfig(source="fineweb-edu"))
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_file=str(named_folder("gpt2") / "tokenizer.json"), eos_token="<|endoftext|>"
    )
    config = ModelConfig.preset(given.scale, decay=given.decay)
    model = DecayStudyForCausalLM.around(DecayTransformer(config), bos_token_id=50256, eos_token_id=50256)
    with quiet():
        task = load_tasks([given.tasks])[given.tasks]
    print(f"{given.scale}, {given.tasks}, first {given.limit} questions, {torch.get_num_threads()} threads")
    best: dict[str, float] = {}
    answers = {}
    for _ in range(given.rounds):  # in turn, so that a busy machine is unfair to neither
        for size in ("1", "auto"):
            started = time.perf_counter()
            answers[size], _ = evaluate_task(language_model(model, tokenizer, size), given.tasks, task, given.limit)
            best[size] = min(best.get(size, 1e9), time.perf_counter() - started)
    for size, seconds in best.items():
        accuracy = answers[size].get("acc")
        print(f"  batch size {size:<5} {seconds:7.2f} s  {given.limit / seconds:6.2f} questions/s  acc {accuracy}")
    print(f"  ratio {best['1'] / best['auto']:.2f}")


if __name__ == "__main__":
    main()
