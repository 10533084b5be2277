"""What the singular value decomposition of inverse scattering costs, and whether it is one.

`python -m benchmarks.scattering_svd 360` decomposes the benchmark's operator for so many receivers and prints a line of
JSON; an empty folder as $XHAT_CACHE makes sure that it is not read from the cache.
"""

import argparse
import json
import resource
import time

import torch

from xhat.science.scattering.born import decomposition
from xhat.science.scattering.operator import BornSVD, Scattering


def orthogonality(V: torch.Tensor, block: int = 1024) -> float:
    """The largest entry of |VᵀV − I|."""
    worst = 0.0
    for i in range(0, V.shape[1], block):
        gram = V[:, i : i + block].T @ V
        gram[torch.arange(len(gram)), torch.arange(i, i + len(gram))] -= 1
        worst = max(worst, float(gram.abs().max()))
    return worst


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("receivers", type=int)
    A = Scattering((1, 128, 128), p.parse_args().receivers).linear
    assert isinstance(A, BornSVD)
    wall, cpu = time.perf_counter(), time.process_time()
    values = int((A.svd.s > 0).sum())
    found = {"values": values, "seconds": time.perf_counter() - wall, "cpu_seconds": time.process_time() - cpu}
    found["peak_gb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    decomposition.cache_clear()
    wall = time.perf_counter()
    s, V = A.svd.s[0], A.svd.V
    found["seconds_from_disk"] = time.perf_counter() - wall
    x = torch.randn(4, 1, 128, 128, generator=torch.Generator().manual_seed(0))
    y = A.forward(x)
    found["A_minus_USVt"] = float((A.U(A.s * A.Vt(x)) - y).norm() / y.norm())
    found["VtV_minus_I"] = orthogonality(V)
    some = torch.linspace(0, V.shape[1] - 1, 64).long()
    sizes = A.forward(V[:, some].T.reshape(-1, 1, 128, 128)).flatten(1).norm(dim=1)
    found["singular_values"] = float(((sizes - s[some]).abs() / s[0]).max())
    print(json.dumps(found))


if __name__ == "__main__":
    main()
