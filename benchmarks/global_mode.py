"""The table of docs/solvers.md: how often the best of N starts lies in the global mode, where it is known.

python -m benchmarks.global_mode
"""

import torch

import xhat
from xhat.exact.mixture import MixturePosterior
from xhat.exact.problems import Mixture
from xhat.exact.sampling import draw
from xhat.priors.density import density
from xhat.solvers import SOLVERS

SPECS = ("lmaps", "lmaps:steps=100", "map", "map:steps=200,share=0.3", "map_ga:steps=10,inner_steps=10")
PROBLEMS = (Mixture(8, 1), Mixture(8, 2), Mixture(8, 4), Mixture(80, 2))
STARTS, SEEDS, BEST_OF = 128, 8, (1, 4, 16, 64)


def main() -> None:
    for problem in PROBLEMS:
        for spec in SPECS:
            found: dict[int, list[float]] = {n: [] for n in BEST_OF}
            calls = 0.0
            for seed in range(SEEDS):
                made = problem.problem(seed)
                drawn = draw(xhat.build(spec, SOLVERS), made, STARTS, seed)
                calls = (drawn.calls.forwards + drawn.calls.backwards) / STARTS
                post = made.posterior
                assert isinstance(post, MixturePosterior)
                hit = ((post.climb(drawn.x) - post.peak()).square() / post.var).mean(1).sqrt() < 1e-3
                like = made.like.take(torch.zeros(STARTS, dtype=torch.long))
                score = like.nll(drawn.x) - density(made.prior, drawn.x).values
                for n in BEST_OF:  # the starts in groups of n, each with its winner
                    groups = torch.arange(STARTS).reshape(-1, n)
                    winners = groups[torch.arange(len(groups)), score[groups].argmin(1)]
                    found[n].append(float(hit[winners].double().mean()))
            shares = " | ".join(f"{100 * sum(v) / len(v):.0f} %" for v in found.values())
            print(f"| d = {problem.d}, m = {problem.m} | {spec} | {calls:.0f} | {shares} |", flush=True)


if __name__ == "__main__":
    main()
