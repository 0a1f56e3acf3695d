"""What the numbers of a study mean: effects, intervals that hold together, verdicts, claims and plans.

The model. A measurement L[cell, seed, document] has fixed cells, while seeds and documents are samples. The same seed
means the same tokens in the same order and the same common start values, so cells share most of what a seed does; the
same documents are scored in every cell. Differences within seed and document have neither.

The effect is a difference of token-weighted means. Its variance is

    seed part + document part − residual part, and never less than the larger of the first two

for both hold the residual part, that of one seed on one document (the two-way analysis of variance with random rows and
columns, as in Miller 2024 for evaluations).

- Documents (``clusters``): the ratio estimator with documents as clusters (Cochran 1977, ch. 6; Miller 2024), in the
  bias-reduced form CR2 (Bell and McCaffrey 2002). Its degrees of freedom follow the documents that the variance is of.
- Seeds (``variance``): residuals of the fit seed + cell give each cell a variance, and with two to five seeds none of
  them is known well. They are moderated by empirical Bayes (Smyth 2004): raw variances are draws from a scaled F, whose
  prior is fitted by maximum likelihood. Up to three cells share one variance.
- Families (``simultaneous``): one critical value of max |t| at the estimated correlation (Dunnett 1955 where all share
  a baseline), from fixed random numbers. Where seeds and documents both matter, t is the Behrens–Fisher solution
  (Fisher 1935), because Satterthwaite's approximation has too many false verdicts with two seeds.
- Verdicts (``verdicts``, ``claims``) follow from the printed interval alone. Two seeds bound a difference only together
  with five cells or more; one seed bounds nothing.

Losses, accuracies (``accuracy``) and statistics of λ (``half_life``) all go through ``effects``; ``optimum`` finds
where the loss is lowest, ``planning`` what a study could resolve, ``digits`` how many digits to print.

What it can't do: with one cell far noisier than the others, false verdicts rise to 12 % at three seeds and power falls
to two thirds; with a noisy baseline they rise to 13 % at twice and 18 % at four times the standard deviation. Such
cells are named in the notes. ``benchmarks/statistics.py`` simulates all of this.

Sources: Behrens 1929, Landw. Jb. 68; Bell and McCaffrey 2002, Survey Methodology 28; Berger 1982, Technometrics 24;
Cochran 1977, Sampling Techniques; Dunnett 1955, JASA 50; Fieller 1954, JRSS B 16; Fisher 1935, Ann. Eugenics 6; Kish
1965, Survey Sampling; Miller 2024, arXiv 2411.00640; Satterthwaite 1946, Biometrics Bull. 2; Smyth 2004, SAGMB 3.
"""

from decaystudy.statistics.accuracy import accuracy_effects, mean_over_tasks, read_answers
from decaystudy.statistics.claims import (
    Bound,
    ClaimVerdict,
    Judgement,
    judge,
    judge_all,
    judge_any,
    judge_every_scale,
    judge_winner,
    stricter_level,
)
from decaystudy.statistics.comparison import Comparison, compare, differences, judged, read_losses
from decaystudy.statistics.digits import decimals, interval_text, rounded
from decaystudy.statistics.effects import Effect, Question, estimate_effects
from decaystudy.statistics.half_life import DecayEffect, DecayQuestion, decay_at, decay_effects, log_half_life
from decaystudy.statistics.optimum import Optimum, fit_optimum, judge_optimum, loss_optimum
from decaystudy.statistics.planning import Design, Goal, resolvable_difference, seeds_needed
from decaystudy.statistics.sample import Sample
from decaystudy.statistics.simultaneous import Component, Estimates, Interval, family
from decaystudy.statistics.variance import LentVariances, SeedVariances, seed_variances
from decaystudy.statistics.verdicts import Verdict, verdict

__all__ = [
    "Bound",
    "ClaimVerdict",
    "Comparison",
    "Component",
    "DecayEffect",
    "DecayQuestion",
    "Design",
    "Effect",
    "Estimates",
    "Goal",
    "Interval",
    "Judgement",
    "LentVariances",
    "Optimum",
    "Question",
    "Sample",
    "SeedVariances",
    "Verdict",
    "accuracy_effects",
    "compare",
    "decay_at",
    "decay_effects",
    "decimals",
    "differences",
    "estimate_effects",
    "family",
    "fit_optimum",
    "interval_text",
    "judge",
    "judge_all",
    "judge_any",
    "judge_every_scale",
    "judge_optimum",
    "judge_winner",
    "judged",
    "log_half_life",
    "loss_optimum",
    "mean_over_tasks",
    "read_answers",
    "read_losses",
    "resolvable_difference",
    "rounded",
    "seed_variances",
    "seeds_needed",
    "stricter_level",
    "verdict",
]
