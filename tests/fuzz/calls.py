"""Calls of the Python API with what it does not take; each must raise an XhatError, or be right."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

import xhat

Call = Callable[[], object]
NAN, INF = float("nan"), float("inf")


def calls() -> dict[str, Call]:
    """Every call by name."""
    return {**_restore(), **_simulate(), **_parts(), **_explicit(), **_files()}


MAY = (  # what is right or harmless, and so may be taken
    "restore y=bool",
    "restore y=i64",
    "restore y=f64",
    "restore y=grad",
    "restore y=PIL alpha",
    "restore y=numpy f64",
    "restore y=fortran",
    "restore prior=f64 out",
    "restore stop_at=inf",
    "restore seed=np.int64",
    "restore samples=np.int64",
    "restore record_every=1000",
    "restore metrics=()",
    "restore y=i32",
    "restore shape=list",
    "restore shape=np.int64",
    "restore metrics=none",
    "restore progress='x'",
    "Rng []",
    "restore seed=True",
    "restore samples=True",
    "restore y=f8",
    "restore noise=float",
    "restore noise=int",
    "restore noise=class",
    "restore solver=class",
    "simulate noise=int",
    "simulate noise=class",
    "Gaussian list",
    "Gaussian 1e30",
    "save_image empty options",
)


def _problem() -> dict[str, Any]:
    prior = xhat.Denoiser(lambda x, s: x / (1 + s**2), schedule=xhat.EDM(sigma_max=10.0))
    y = torch.zeros(3, 16, 16)
    return {
        "y": y,
        "operator": "gaussian_blur:std=0.5",
        "noise": "gaussian:sigma=0.05",
        "prior": prior,
        "solver": "ddrm:steps=2",
    }


def _restore() -> dict[str, Call]:
    y = torch.zeros(3, 16, 16)
    fresh = xhat.EDM(sigma_max=10.0)
    f = lambda x: x
    values: dict[str, dict[str, object]] = {
        "y": {
            "none": None,
            "list": [[0.0]],
            "int": 3,
            "bytes": b"x",
            "float": 1.0,
            "nan": y * NAN,
            "inf": y + INF,
            "empty": y[:, :0],
            "bool": y > 0,
            "i64": y.long(),
            "i32": y.int(),
            "f64": y.double(),
            "sparse": y.to_sparse(),
            "grad": y.clone().requires_grad_(),
            "meta": torch.zeros(3, 16, 16, device="meta"),
            "batch": y[None],
            "object": np.array([None]),
            "text array": np.array(["a"]),
            "numpy f64": y.double().numpy(),
            "fortran": np.asfortranarray(y.numpy()),
            "PIL F": Image.new("F", (16, 16)),
            "PIL alpha": Image.new("RGBA", (16, 16)),
            "complex": y.to(torch.complex64),
            "scalar": torch.zeros(()),
            "quantised": torch.zeros(3, 16, 16, dtype=torch.uint8).int().float().to_mkldnn(),
            "class": torch.Tensor,
            "expanded": torch.zeros(1).expand(3, 40000, 40000),
            "path none": Path("nosuch.png"),
            "dict": {},
            "spec": xhat.Spec("a", {}),
            "huge": y + 3e38,
            "f8": y.to(torch.float8_e4m3fn),
            "date": np.array(["2020-01-01"], "datetime64[D]"),
        },
        "operator": {
            "int": 3,
            "class": xhat.Operator,
            "list": ["inpaint"],
            "bytes": b"inpaint",
            "function without shape": f,
            "noise": xhat.Gaussian(0.1),
            "tensor": torch.zeros(3),
            "empty": "",
            "path": Path("inpaint"),
        },
        "noise": {
            "int": 3,
            "float": 0.1,
            "class": xhat.Gaussian,
            "list": [],
            "operator": "inpaint",
            "tensor": torch.ones(1),
            "empty": "",
            "dict": {},
        },
        "prior": {
            "int": 3,
            "none": None,
            "class": xhat.Denoiser,
            "list": [],
            "path": Path("nosuch"),
            "empty": "",
            "dict": {},
            "tensor": y,
            "wrong shape": xhat.Denoiser(lambda x, s: x[..., :3], schedule=fresh),
            "nan": xhat.Denoiser(lambda x, s: x * NAN, schedule=fresh),
            "none out": xhat.Denoiser(lambda x, s: None, schedule=fresh),
            "f64 out": xhat.Denoiser(lambda x, s: x.double(), schedule=fresh),
            "text out": xhat.Denoiser(lambda x, s: "x", schedule=fresh),
            "raises": xhat.Denoiser(lambda x, s: 1 / 0, schedule=fresh),
            "no arguments": xhat.Denoiser(lambda: 0, schedule=fresh),
            "complex out": xhat.Denoiser(lambda x, s: x * 1j, schedule=fresh),
            "tuple out": xhat.Denoiser(lambda x, s: (x,), schedule=fresh),
            "bare function": lambda: 0,
            "no batch": xhat.Denoiser(lambda x, s: x[0], schedule=fresh),
            "in place": xhat.Denoiser(lambda x, s: x.zero_()[..., :3], schedule=fresh),
            "module": torch.nn.Linear(3, 3),
        },
        "solver": {
            "int": 3,
            "class": type(xhat.build("ddrm", xhat.solvers.SOLVERS)),
            "list": [],
            "empty": "",
            "path": Path("x"),
            "dict": {},
            "bytes": b"ddrm",
            "operator": "inpaint",
        },
        "schedule": {
            "int": 3,
            "class": xhat.EDM,
            "list": [1.0],
            "empty": "",
            "tensor": torch.ones(3),
            "solver": "ddrm",
            "function": lambda t: t,
        },
        "seed": {
            "float": 1.5,
            "text": "a",
            "minus": -3,
            "2^70": 2**70,
            "none": None,
            "list": [1],
            "nan": NAN,
            "tensor": torch.ones(2),
            "np.int64": np.int64(3),
            "True": True,
        },
        "samples": {
            "float": 1.5,
            "text": "2",
            "zero": 0,
            "minus": -1,
            "none": None,
            "nan": NAN,
            "10^12": 10**12,
            "np.int64": np.int64(1),
            "True": True,
        },
        "batch_size": {"float": 1.5, "text": "2", "zero": 0, "minus": -1, "nan": NAN, "list": [1]},
        "shape": {
            "text": "abc",
            "minus": (3, -16, 16),
            "int": 16,
            "empty": (),
            "floats": (3.5, 16.0, 16.0),
            "other": (3, 8, 8),
            "zero": (3, 0, 16),
            "list": [3, 16, 16],
            "np.int64": tuple(np.array([3, 16, 16])),
            "huge": (3, 10**6, 10**6),
            "set": {3, 16},
            "none inside": (3, None, 16),
        },
        "scale": {"float": 1.5, "zero": 0, "text": "2", "minus": -2, "huge": 10**9, "with operator": 2},
        "reference": {
            "shape": torch.zeros(3, 8, 8),
            "nan": y * NAN,
            "int": 3,
            "list": [],
            "missing": "nosuch.png",
            "batch": y[None],
        },
        "device": {"unknown": "x", "int": 3.5, "none": None, "meta": "meta", "cuda:99": "cuda:99", "list": []},
        "stop_at": {
            "text": "x",
            "zero": 0.0,
            "minus": -1.0,
            "nan": NAN,
            "list": [1.0],
            "inf": INF,
            "tensor": torch.ones(2),
        },
        "record_every": {"float": 0.5, "text": "x", "minus": -1, "nan": NAN, "none": None, "1000": 1000},
        "checkpoint": {
            "folder": tempfile.gettempdir(),
            "int": 3,
            "empty": "",
            "bad place": "/proc/x/c.pt",
            "nul": "a\0b",
        },
        "progress": {"'x'": "x"},
        "metrics": {"text": "psnr", "unknown": ["x"], "ints": [3], "none": None, "int": 3, "()": ()},
    }
    out: dict[str, Call] = {}
    for key, given in values.items():
        for name, value in given.items():
            out[f"restore {key}={name}"] = lambda key=key, value=value: xhat.restore(**{**_problem(), key: value})
    out["restore metrics unknown with reference"] = lambda: xhat.restore(**_problem(), reference=y, metrics=["x"])
    out["restore metrics text with reference"] = lambda: xhat.restore(**_problem(), reference=y, metrics="psnr")
    out["restore resume without checkpoint"] = lambda: xhat.restore(**_problem(), resume=True)
    out["restore resume without a run"] = lambda: xhat.restore(**_problem(), checkpoint="c.pt", resume=True)
    out["restore resume of a text file"] = lambda: xhat.restore(**_problem(), checkpoint="/etc/passwd", resume=True)
    wrong: dict[str, Callable[[torch.Tensor], Any]] = {
        "wrong shape": lambda x: x[..., :3],
        "nan": lambda x: x * NAN,
        "none": lambda x: None,
        "raises": lambda x: 1 / 0,
        "text": lambda x: "x",
        "in place": lambda x: x.mul_(0),
        "no batch": lambda x: x[0],
        "tuple": lambda x: (x,),
        "numpy": lambda x: x.detach().numpy(),
        "complex": lambda x: x * 1j,
        "no arguments": lambda: 0,
        "integers": lambda x: x.long(),
        "empty": lambda x: x[:, :0],
    }
    for name, function in wrong.items():
        given = {"operator": function, "shape": (3, 16, 16), "solver": "dps:steps=2"}
        out[f"restore operator function {name}"] = lambda given=given: xhat.restore(**{**_problem(), **given})
    return out


def _simulate() -> dict[str, Call]:
    x = torch.zeros(3, 16, 16)
    out: dict[str, Call] = {}
    values: dict[str, dict[str, object]] = {
        "x": {
            "none": None,
            "int": 3,
            "nan": x * NAN,
            "missing": "nosuch.png",
            "empty": x[:, :0],
            "list": [1.0],
            "sparse": x.to_sparse(),
            "batch": x[None],
        },
        "operator": {
            "none": None,
            "int": 3,
            "empty": "",
            "unknown": "nosuch",
            "class": xhat.Operator,
            "nan": lambda x: x * NAN,
            "text": lambda x: "x",
        },
        "noise": {"none": None, "int": 3, "empty": "", "unknown": "nosuch", "class": xhat.Gaussian},
        "seed": {"text": "x", "float": 1.5, "none": None, "2^70": 2**70, "minus": -1, "list": [1]},
    }
    for key, given in values.items():
        for name, value in given.items():
            whole = {"x": x, "operator": "gaussian_blur:std=0.5", "noise": "noiseless", key: value}
            out[f"simulate {key}={name}"] = lambda whole=whole: xhat.simulate(**whole)
    return out


def _parts() -> dict[str, Call]:
    out: dict[str, Call] = {}
    bad = {
        "zero": 0.0,
        "minus": -1.0,
        "nan": NAN,
        "inf": INF,
        "text": "a",
        "none": None,
        "list": [0.1],
        "minus in a tensor": torch.tensor([0.1, -1.0]),
    }
    for name, value in bad.items():
        out[f"Gaussian {name}"] = lambda v=value: xhat.Gaussian(v)
        out[f"Poisson {name}"] = lambda v=value: xhat.Poisson(v)
        out[f"EDM sigma_max={name}"] = lambda v=value: xhat.EDM(sigma_max=v)
        out[f"EDM rho={name}"] = lambda v=value: xhat.EDM(rho=v)
    out |= {
        "VP beta": lambda: xhat.VP(-1.0),
        "VP nan": lambda: xhat.VP(NAN),
        "Discrete text": lambda: xhat.Discrete("x"),
        "Discrete none": lambda: xhat.Discrete(None),
        "build none": lambda: xhat.build(None, xhat.solvers.SOLVERS),
        "build int": lambda: xhat.build(3, xhat.solvers.SOLVERS),
        "build registry": lambda: xhat.build("ddrm", None),
        "build_prior int": lambda: xhat.build_prior(3),
        "build_prior none": lambda: xhat.build_prior(None),
        "build_prior missing": lambda: xhat.build_prior("nosuch"),
        "build_prior device": lambda: xhat.build_prior("powerlaw", "x"),
        "Spec.parse none": lambda: xhat.Spec.parse(None),
        "Spec.parse int": lambda: xhat.Spec.parse(3),
        "Rng text": lambda: xhat.Rng(["a"]),
        "Rng minus": lambda: xhat.Rng([-1]),
        "Rng int": lambda: xhat.Rng(3),
        "Rng none": lambda: xhat.Rng(None),
        "Rng 2^70": lambda: xhat.Rng([2**70]),
        "Rng float": lambda: xhat.Rng([1.5]),
        "Rng []": lambda: xhat.Rng([]),
        "Rng draw wrong count": lambda: xhat.Rng([1]).randn_like(torch.zeros(2, 3)),
        "Denoiser int": lambda: xhat.Denoiser(3),
        "Denoiser none": lambda: xhat.Denoiser(None),
        "Denoiser schedule": lambda: xhat.Denoiser(lambda x, s: x, schedule=3),
        "operator int": lambda: xhat.operator(3, (1, 4, 4)),
        "operator none": lambda: xhat.operator(None, (1, 4, 4)),
        "operator shape none": lambda: xhat.operator(lambda x: x, None),
        "operator shape text": lambda: xhat.operator(lambda x: x, "abc"),
        "operator shape minus": lambda: xhat.operator(lambda x: x, (1, -4, 4)),
        "operator shape int": lambda: xhat.operator(lambda x: x, 4),
        "operator not linear": lambda: xhat.operator(lambda x: x**2, (1, 4, 4), linear=True),
        "operator linear nan": lambda: xhat.operator(lambda x: x * NAN, (1, 4, 4), linear=True),
        "operator linear none": lambda: xhat.operator(lambda x: None, (1, 4, 4), linear=True),
        "operator linear raises": lambda: xhat.operator(lambda x: 1 / 0, (1, 4, 4), linear=True),
        "operator modality": lambda: xhat.operator(lambda x: x, (1, 4, 4), modality=3),
        "stack of nothing": lambda: xhat.stack(),
        "stack of ints": lambda: xhat.stack(1, 2),
        "stack of none": lambda: xhat.stack(None),
        "builds int": lambda: xhat.builds(3),
        "Plugin int": lambda: xhat.Plugin(3),
        "operator @ int": lambda: xhat.operator(lambda x: x, (1, 4, 4)) @ 3,
        "operator + text": lambda: xhat.operator(lambda x: x, (1, 4, 4)) + "x",
    }
    return out


def _explicit() -> dict[str, Call]:
    y = torch.zeros(1, 1, 16, 16)

    def like(**more: Any) -> xhat.Likelihood:
        A = xhat.operator(lambda x: x, (1, 16, 16), linear=True)
        return xhat.likelihood(**{"A": A, "noise": xhat.Gaussian(0.1), "y": y, **more})

    def run(**more: Any) -> object:
        solver = xhat.build("dps:steps=2", xhat.solvers.SOLVERS)
        prior = xhat.Denoiser(lambda x, s: x / (1 + s**2), schedule=xhat.EDM(sigma_max=10.0))
        return xhat.solve(**{"solver": solver, "prior": prior, "like": like(), "rng": xhat.Rng([0]), **more})

    out: dict[str, Call] = {}
    for key, given in {
        "A": {"int": 3, "none": None, "text": "inpaint", "function": lambda x: x},
        "noise": {"int": 3, "none": None, "text": "gaussian", "float": 0.1, "class": xhat.Gaussian},
        "y": {
            "nan": y * NAN,
            "none": None,
            "int": 3,
            "no batch": y[0],
            "shape": y[..., :3],
            "numpy": y.numpy(),
            "list": [1.0],
            "empty": y[:0],
            "text": "x",
        },
    }.items():
        for name, value in given.items():
            out[f"likelihood {key}={name}"] = lambda key=key, value=value: like(**{key: value})
    for key, given in {
        "solver": {"int": 3, "none": None, "text": "ddrm", "class": xhat.Solver},
        "prior": {"int": 3, "none": None, "text": "photo", "function": lambda x, s: x},
        "like": {"int": 3, "none": None, "text": "x"},
        "rng": {"int": 3, "none": None, "list": [0], "two": xhat.Rng([0, 1]), "generator": torch.Generator()},
        "schedule": {"int": 3, "text": "edm", "class": xhat.EDM},
    }.items():
        for name, value in given.items():
            out[f"solve {key}={name}"] = lambda key=key, value=value: run(**{key: value})
    return out


def _files() -> dict[str, Call]:
    x = torch.zeros(3, 16, 16)
    measurement = xhat.Measurement(x)
    result = lambda: xhat.restore(**_problem())
    return {
        "load_image none": lambda: xhat.load_image(None),
        "load_image int": lambda: xhat.load_image(3),
        "load_image bytes": lambda: xhat.load_image(b"\x89PNG"),
        "load_image missing": lambda: xhat.load_image("nosuch.png"),
        "load_image folder": lambda: xhat.load_image("."),
        "load_image nul": lambda: xhat.load_image("a\0b"),
        "load_image long": lambda: xhat.load_image("a" * 5000),
        "load_image device": lambda: xhat.load_image("/dev/null"),
        "save_image none": lambda: xhat.save_image(None, x),
        "save_image x none": lambda: xhat.save_image("a.png", None),
        "save_image suffix": lambda: xhat.save_image("a.txt", x),
        "save_image no suffix": lambda: xhat.save_image("a", x),
        "save_image shape": lambda: xhat.save_image("a.png", x[0]),
        "save_image depth": lambda: xhat.save_image("a.png", x, 12),
        "save_image nan": lambda: xhat.save_image("a.png", x * NAN),
        "save_image text": lambda: xhat.save_image("a.png", "x"),
        "save_image place": lambda: xhat.save_image("/proc/a.png", x),
        "save_image nul": lambda: xhat.save_image("a\0.png", x),
        "save_image empty": lambda: xhat.save_image("a.png", x[:, :0]),
        "save_image 16 bits of jpg": lambda: xhat.save_image("a.jpg", x, 16),
        "Measurement.save none": lambda: measurement.save(None),
        "Measurement.save suffix": lambda: measurement.save("y.txt"),
        "Measurement.save place": lambda: measurement.save("/proc/y.npz"),
        "Measurement of none": lambda: xhat.restore(xhat.Measurement(None)),
        "Measurement of text": lambda: xhat.restore(xhat.Measurement("x"), "inpaint", "noiseless"),
        "Restoration.save none": lambda: result().save(None),
        "Restoration.save empty": lambda: result().save(""),
        "Restoration.save place": lambda: result().save("/proc/x"),
        "Restoration.save depth": lambda: result().save("o", depth=12),
        "Restoration.save formats": lambda: result().save("o", formats=["x"]),
        "Restoration.save formats text": lambda: result().save("o", formats="nii"),
        "Restoration.save int": lambda: result().save(3),
    }
