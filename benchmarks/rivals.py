"""flash-linear-attention's search of launch configurations, which takes minutes a shape, in less time.

It compiles and times dozens of variants of each kernel, one after the other. Several processes that each compile a
share of them fill Triton's cache together (``--share 0/8`` to ``--share 7/8`` of a benchmark, all at once, on any GPU);
what they find is of no use. The benchmark proper then finds every variant compiled, and times each over 20 ms in place
of 100: enough to tell those apart that differ by more than a few percent.
"""

import functools
import os


def search_briefly(share: str | None = None) -> None:
    """Shorten the search of this process; with ``share`` i/n look at every n-th variant only, and remember nothing.

    It must be called before flash-linear-attention is imported.
    """
    from triton.backends.nvidia.driver import CudaDriver
    from triton.runtime.autotuner import Autotuner
    from triton.testing import do_bench

    CudaDriver.get_benchmarker = lambda self: functools.partial(do_bench, warmup=5, rep=1 if share else 20)
    if share is None:
        return
    first, every = map(int, share.split("/"))
    os.environ["FLA_CACHE_RESULTS"] = "0"
    prune = Autotuner.prune_configs

    def some(self, kwargs):
        configs = prune(self, kwargs)
        return configs[first % len(configs) :: every]

    Autotuner.prune_configs = some
