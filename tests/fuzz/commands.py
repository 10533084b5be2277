"""The command lines: every command on every kind of bad file, and every option at values that it does not take."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from .inputs import GOOD_SUITES, RUNS

IN = "../in/"
BLUR = ("--operator", "gaussian_blur:std=0.5", "--noise", "gaussian:sigma=0.05")
FAST = ("--prior", "powerlaw", "--solver", "ddrm:steps=2", "-q")
OUT = ("-o", "out")
MRI = ("--operator", "mri", "--noise", "gaussian:sigma=0.01", "--prior", "none", "--solver", "tv:steps=2", "-q")


@dataclass(frozen=True)
class Case:
    """One command line: what of it is to be named if it is refused, and whether it must be."""

    argv: tuple[str, ...]
    culprits: tuple[str, ...] = ()
    refused: bool = False

    @property
    def name(self) -> str:
        return " ".join(self.argv)


def cases(inputs: Path) -> list[Case]:
    """All command lines, each once; `inputs` is the folder that `inputs.make` filled."""
    out: dict[tuple[str, ...], Case] = {}
    for part in (
        measurements,
        images,
        masks,
        checkpoints,
        outputs,
        options,
        specs,
        science,
        benches,
        trainings,
        others,
    ):
        for case in part(sorted(inputs.iterdir())):
            out.setdefault(case.argv, case)
    return list(out.values())


def _case(*argv: object, names: Sequence[str] = (), refused: bool = False) -> Case:
    return Case(tuple(map(str, argv)), tuple(names), refused)


GOOD = ("ok", "grey", "wide", "jpg_as", "turned", "mask.", "mask_one", "mask0", "mask1", "u16", "cmyk", "pal", "bit")
BROKEN = ("cut", "zero.", "junk", "text.", "png_as.n", "png_as.pt", "png_as.h5", "declared", "evil", "object", "empty")


def _words(value: str) -> tuple[str, ...]:
    """What may be named of the value of an option: its parts, short ones in quotes, since every text holds them."""
    parts = [p for p in re.split(r"[:=,#]", value) if p]
    return tuple(p if len(p) > 2 else f"'{p}'" for p in parts)


def _broken(name: str) -> bool:
    return name.startswith(BROKEN)


def measurements(files: Sequence[Path]) -> Iterator[Case]:
    """Every file of the folder as a measurement."""
    for p in files:
        own = p.name.startswith("meta_") or p.name in ("ok.npz", "operator_none.pt")
        scan = p.suffix in (".h5", ".cfl", ".hdr")
        parts = (*FAST,) if own else (*BLUR, *FAST)
        names = (p.name, p.stem) if not own else (p.name, p.stem.removeprefix("meta_").partition("_")[0])
        if scan:
            yield _case("restore", f"{IN}{p.name}#0", *MRI, *OUT, names=(p.name, p.stem), refused=_broken(p.name))
        yield _case("restore", IN + p.name, *(MRI if scan else parts), *OUT, names=names, refused=_broken(p.name))
    for item in ("ok.png#3", "ok.png#x", "ok.png#-1", "ok.npy#99", "ok.npz#99", "ok.pt#7", "ok.h5#9", "lm_navier#7"):
        yield _case("restore", IN + item, *BLUR, *FAST, *OUT, names=(item.partition("#")[0],), refused=True)
    places = (
        "/dev/null",
        "/dev/zero",
        "/etc/passwd",
        "",
        ".",
        "-",
        "~",
        "nosuch.png",
        "nosuch.npy",
        "nosuch.h5",
        "nosuch",
    )
    for place in (*places, "http://example.com/x.png", "a" * 5000, "a/" * 3000, "x\0y", "x\ny.png", "/proc/self/mem"):
        name = place[:20].partition("\0")[0].partition("//")[2] or place[:20].partition("\0")[0]
        for command in (("restore", place, *BLUR, *FAST, *OUT), ("simulate", place, *BLUR, "-q", "-o", "y.npz")):
            yield _case(*command, names=(name,), refused=True)


def images(files: Sequence[Path]) -> Iterator[Case]:
    """Every file as the true image of a simulation, and as a reference."""
    for p in files:
        if p.suffix in (".toml", ".json", ".onnx", ".safetensors", ".hdr", ".tar", ".gz"):
            continue
        broken = _broken(p.name)
        yield _case("simulate", IN + p.name, *BLUR, "-q", "-o", "y.npz", names=(p.name, p.stem), refused=broken)
        if p.suffix in (".npy", ".pt") or broken:
            command = ("restore", f"{IN}ok.png", *BLUR, *FAST, *OUT, "--reference", IN + p.name)
            yield _case(*command, names=(p.name, "reference"), refused=broken)


def masks(files: Sequence[Path]) -> Iterator[Case]:
    """Pictures and arrays as masks, kernels and matrices."""
    for p in files:
        if p.suffix not in (".png", ".npy", ".npz", ".jpg", ".pt", ".h5", ""):
            continue
        for option in ("fill", "known"):
            operator = f"inpaint:{option}={IN}{p.name}"
            command = ("restore", f"{IN}ok.png", "--operator", operator, "--noise", "noiseless", *FAST, *OUT)
            if option == "fill" or p.name.startswith("mask"):
                picture = p.name.startswith("png_as")  # it is one, whatever its name says
                yield _case(*command, names=(p.name,), refused=_broken(p.name) and not picture)
        if p.suffix in (".npy", ".npz", ".png"):
            operator = f"blur:kernel={IN}{p.name}"
            command = ("simulate", f"{IN}ok.png", "--operator", operator, "--noise", "noiseless", "-q", "-o", "y.npz")
            yield _case(*command, names=(p.name,), refused=_broken(p.name))
        if p.suffix == ".npy":
            operator = f"matrix:path={IN}{p.name}"
            command = ("simulate", f"{IN}ok.png", "--operator", operator, "--noise", "noiseless", "-q", "-o", "y.npz")
            yield _case(*command, names=(p.name, "matrix"), refused=_broken(p.name))


def checkpoints(files: Sequence[Path]) -> Iterator[Case]:
    """Every file and folder as a checkpoint: looked at, and as a prior."""
    for p in files:
        yield _case("prior", "inspect", IN + p.name, names=(p.name,), refused=_broken(p.name))
        if p.suffix in (".pt", ".pkl", ".onnx", ".safetensors", "") or p.name.startswith(("unet", "index", "xhat")):
            command = (
                "restore",
                f"{IN}grey.png",
                *BLUR,
                "--solver",
                "ddrm:steps=2",
                "-q",
                *OUT,
                "--prior",
                IN + p.name,
            )
            yield _case(*command, names=(p.name, p.stem), refused=_broken(p.name))
    for name in ("script_ok.pt", "script_no_argument.pt", "script_part.pt", "script_nan.pt", "script_text.pt"):
        command = ("restore", f"{IN}grey.png", *BLUR, "--solver", "ddrm:steps=2", "-q", *OUT, "--trust")
        yield _case(*command, "--prior", f"{IN}{name}:sigma_max=10", names=(name, "denoiser", "prior", "network"))
    for name in ("same", "flat", "fixed", "huge"):
        for more in ("output=nope", "sigma_max=-1", "sigma_max=nan", "sigma_min=0", "low=1,high=-1", "sigma=nope"):
            prior = f"denoiser:path={IN}{name}.onnx,{more}"
            names = (more.partition("=")[0], f"{name}.onnx", "denoiser")
            command = ("restore", f"{IN}grey.png", *BLUR, "--solver", "ddrm:steps=2", "-q", *OUT, "--prior", prior)
            yield _case(*command, names=names, refused=True)


def outputs(_: Sequence[Path]) -> Iterator[Case]:
    """Places that cannot take results."""
    nowhere = (
        f"{IN}ok.png",
        f"{IN}ok.png/sub",
        "/proc/x",
        "/dev/null/x",
        "/dev/null",
        "",
        " ",
        "a" * 300,
        "x\0y",
        "\n",
    )
    run = "../in/runs/cells_empty"
    tune = ("tune", *BLUR, "--data", "fields:size=16,count=1,channels=3", "--prior", "powerlaw", "--trials", "1", "-q")
    for place in nowhere:
        name = (place.strip()[:40].partition("\0")[0] or "-o", "-o")
        for command in (
            ("restore", f"{IN}ok.png", *BLUR, *FAST),
            ("bench", f"{IN}suites/ok.toml", "-q"),
            ("exact", "-q", "--quick", "--problem", "two", "--solver", "dps:steps=2", "--jobs", "1"),
            ("demo", "--size", "16", "-q", "--prior", "powerlaw"),
            ("train", "denoiser", f"{IN}train_ok.npz", "-q", "--steps", "1", "--set", "data.validation=8"),
            ("report", run),
            (*tune, "--solver", "ddrm:steps=2"),
        ):
            yield _case(*command, f"--out={place}", names=name, refused=True)
        for command in (
            ("simulate", f"{IN}ok.png", *BLUR, "-q"),
            ("generate", "vorticity", "--count", "1", "--size", "16"),
        ):
            yield _case(*command, f"--out={place}", names=name, refused=True)
            file = f"{place}.npz" if place.strip() and "\n" not in place else place
            if place not in (f"{IN}ok.png", "/dev/null"):  # with the suffix, a name like any other
                yield _case(*command, f"--out={file}", names=name, refused=True)
    for place in ("y.txt", "y", "y.npy", "y.pt", "y.gif", "y.jp2", "y.h5", f"{IN}ok.npz", f"{IN}ok.png"):
        yield _case("simulate", f"{IN}ok.png", *BLUR, "-q", "-o", place, names=(place,), refused=True)
        yield _case("generate", "vorticity", "--count", "1", "--size", "16", "-o", place, names=(place,), refused=True)
    for place in ("o space", "o ü 漢字 😀", "o\nline", "-dash", "o/../p", "o#3", "a:b,c=d", "deep/er/est"):
        yield _case("restore", f"{IN}ok.png", *BLUR, *FAST, f"--out={place}", names=(place,))
    for file in (
        "r.txt",
        "/proc/r.png",
        f"{IN}ok.png/r.png",
        "",
        "y.npz",
        f"{IN}ok.png",
        "r\0.png",
        "a" * 300 + ".png",
    ):
        command = ("simulate", f"{IN}ok.png", *BLUR, "-q", "-o", "y.npz", f"--reference-out={file}")
        yield _case(*command, names=(file[:40].partition("\0")[0] or "reference", "reference"), refused=True)


def options(_: Sequence[Path]) -> Iterator[Case]:
    """Options of restore and simulate at values that they do not take."""
    wrong = {
        "--steps": "0 -1 nan 1e9 1.5 x 1000000000000 [1] none 2,eta=1 True 999999999999999999999999",
        "--samples": "0 -1 1000000000 1.5 x nan 999999999999999999999999",
        "--batch-size": "0 -2 1.5 x nan",
        "--seed": "-1 99999999999999999999 1.5 x nan",
        "--scale": "0 -1 1000000 1.5 x nan",
        "--sigma": "0 -1 nan inf x 1/0 0/255 5 1e300 auto/2 /",
        "--shape": "0,3,3 -3,32,32 3,32 a,b,c 1,32,32 3,64,64 3,1000000,1000000 3,32,32, 3 9,9,9,9,9,9 1e9,1,1",
        "--device": "cuda cuda:99 gpu meta mps xla vulkan cpu:-1 hpu 3",
        "--dtype": "int8 float7 bool complex64 quint8",
        "--stop-at": "0 -1 nan x",
        "--record-every": "-1 1.5 x nan",
        "--depth": "12 0 x 32",
        "--formats": "dcm , nii,x",
        "--metrics": "nope , psnr,nope",
        "--reference": f"nosuch.png {IN}one.png {IN}nan.npy {IN}object.npy {IN}wide.png",
        "--prior": f"nosuch photo:= photo:dtype photo:dtype=float32,dtype=float32 photo:a=1 /etc/passwd "
        f"{IN}empty_folder nosuch/ fashion gaussian stable_diffusion:path={IN}empty_folder consistency:path={IN}ok.png "
        "adm:path=3 diffusers "
        "magnitude:prior=magnitude magnitude:prior=nosuch powerlaw:std=-1 powerlaw:std=nan powerlaw:std=0 "
        "os:System powerlaw:std=[1] powerlaw:trust=true",
        "--prior-config": f"{IN}config_broken.toml {IN}config_broken.json {IN}config_list.json nosuch.toml a "
        f"{IN}config_nan.json {IN}config_nested.json {IN}config_kinds.json a= =b",
        "--schedule": "edm:sigma_max=-1 edm:sigma_max=nan edm:sigma_min=0 edm:sigma_min=90 edm:rho=0 edm:rho=inf "
        "edm:sigma_max=1e400 nope discrete:steps=0 discrete:steps=-5 discrete:steps=1000000000 discrete:betas=[2,3] "
        "discrete:betas=[] discrete:betas=[nan] ve:sigma_min=5,sigma_max=1 vp:beta_max=-1 discrete:steps=1000000000000 "
        "flow:x=1 edm:sigma_max=[1] edm:",
        "--operator": "",
        "--noise": "",
        "--solver": "",
    }
    for option, values in wrong.items():
        for value in (*values.split(" "), ""):
            base = ("restore", f"{IN}ok.png", *BLUR, *FAST, *OUT)
            if option == "--steps":
                base = ("restore", f"{IN}ok.png", *BLUR, "--prior", "powerlaw", "--solver", "ddrm", "-q", *OUT)
            if option in ("--sigma", "--scale"):
                base = ("restore", f"{IN}ok.png", *FAST, *OUT)
            own = value.rpartition(":")[2].partition("=")[0]
            plain = option[2:].replace("-", "_")
            names = tuple(n for n in (option, plain, plain.removesuffix("s"), value, own, *_words(value)) if n)
            if option == "--prior-config":
                names += ("sigma_max", "dtype")  # options that the files have and the prior has not
            free = value in ("", "edm:") or (option == "--device" and value in ("3",))
            yield _case(*base, f"{option}={value}", names=names, refused=not free)
    for more in (("--nosuch",), ("--samples",), ("extra",), ("--resume",), ("-o",), ("--trust=3",), ("--sam", "x")):
        names = (more[0].partition("=")[0], "resume", "out")
        yield _case("restore", f"{IN}ok.png", *BLUR, *FAST, *OUT, *more, names=names, refused=True)
    sizes = {
        "--size": "0 -4 100000 1000000000 1.5 x 30000 999999999999999999999999",
        "--crop-multiple": "0 -3 33 x 999999999999999999999999",
        "--seed": "-1 999999999999999999999999999999 1.5",
        "--depth": "3 x",
    }
    for option, values in sizes.items():
        for value in values.split():
            command = ("simulate", f"{IN}ok.png", *BLUR, "-q", "-o", "y.npz", f"{option}={value}")
            yield _case(*command, names=(option, option[2:], value), refused=True)


def specs(_: Sequence[Path]) -> Iterator[Case]:
    """Spec strings with broken grammar, and parts with options that they do not take."""
    grammar = (
        "{}:=",
        "{}:steps=",
        "{}:steps=2,,",
        "{}:,",
        "{}:steps==2",
        "{}:steps=2,steps=3",
        "{}:STEPS=2",
        "{}:steps=2;",
        "{}:étapes=2",
        "{}:steps=2:",
        "{} steps=2",
        "{}:steps=(2",
        "{}:steps=[2",
        '{}:steps="2',
        "{}:steps=True",
        "{}:" + "(" * 3000,
        "{}:steps=" + "9" * 5000,
        "{}:steps=" + "[" * 200 + "]" * 200,
        "{}:steps=10**9",
        "{}:\x1b[31m=1",
        "{}:a\nb=1",
        "{}:steps=none",
        "{}:steps={{}}",
        "{}:steps=2@3",
        "{}@{}",
        "{} @ {}",
    )
    for form in grammar:
        spec = form.format("ddrm", "ddrm")
        names = ("ddrm", "steps", "unknown solver")
        command = ("restore", f"{IN}ok.png", *BLUR, "--prior", "powerlaw", "-q", *OUT, "--solver", spec)
        yield _case(*command, names=names, refused=True)
    for form in grammar:
        spec = form.replace("steps", "std").format("gaussian_blur", "nosuch")
        command = ("simulate", f"{IN}ok.png", "--noise", "noiseless", "-q", "-o", "y.npz", "--operator", spec)
        yield _case(*command, names=("gaussian_blur", "std", "nosuch"))
    tomls = ("none", "two", "number", "table", "table_number", "itself", "list")
    for name in (
        *(f"{IN}solver_{n}.toml" for n in tomls),
        "nosuch.toml",
        f"{IN}empty_folder",
        f"{IN}png_as.toml",
        "../x",
    ):
        command = ("restore", f"{IN}ok.png", *BLUR, "--prior", "powerlaw", "-q", *OUT, "--solver", name)
        yield _case(*command, names=(name.rpartition("/")[2], "solver_itself"), refused=True)
    extreme = ("0", "-1", "nan", "inf", "1e300", "1000000000", "x", "[]", "[1,2]", "none", "true")
    parts = {
        "gaussian_blur": ("std", "size", "boundary"),
        "motion_blur": ("size", "intensity", "seed"),
        "inpaint": ("keep", "box", "seed", "fill"),
        "super_resolution": ("factor",),
        "jpeg": ("quality",),
        "quantize": ("bits",),
        "hdr": ("scale",),
        "phase_retrieval": ("oversample",),
        "compressed_sensing": ("ratio",),
        "mri": ("acceleration",),
        "ct": ("angles",),
        "scattering": ("receivers",),
        "nonlinear_blur": ("seed",),
        "blur": ("kernel",),
    }
    for name, keys in parts.items():
        for key in keys:
            for value in extreme:
                command = ("simulate", f"{IN}ok.png", "--operator", f"{name}:{key}={value}", "--noise", "noiseless")
                yield _case(*command, "-q", "-o", "y.npz", names=(key, name, "ok.png", value, "seed", "mask", "kernel"))
    for name in ("black_hole", "fwi", "navier_stokes", "colorization", "denoise", "identity", "nosuch", "", "a @ b"):
        command = ("simulate", f"{IN}ok.png", "--operator", name, "--noise", "gaussian:sigma=0.05", "-q", "-o", "y.npz")
        yield _case(*command, names=("operator", name.partition(" ")[0], "images", "shape", "complex"))
    for name, key in (("gaussian", "sigma"), ("poisson", "peak"), ("poisson", "dark"), ("noiseless", "tolerance")):
        for value in extreme:
            command = ("simulate", f"{IN}ok.png", "--operator", "gaussian_blur:std=0.5", "-q", "-o", "y.npz")
            yield _case(*command, "--noise", f"{name}:{key}={value}", names=(key, name))


def science(files: Sequence[Path]) -> Iterator[Case]:
    """Files of a science as what they are."""
    for p in files:
        if p.name.startswith("lm_"):
            solver = ("--prior", "none", "--solver", "tv:steps=2", "-q", *OUT)
            for item in ("#0", "#1"):
                yield _case("restore", f"{IN}{p.name}{item}", *solver, names=(p.name,), refused=p.name != "lm_navier")
        if p.suffix == ".uvfits":
            yield _case("restore", IN + p.name, "--prior", "none", "-q", *OUT, names=(p.name,), refused=True)
        if p.suffix == ".h5":
            yield _case("prior", "inspect", IN + p.name, names=(p.name,), refused=True)
    for kind in ("velocity", "vorticity", "blackhole"):
        for more in (
            ("--count", "0"),
            ("--size", "7"),
            ("--size", "-1"),
            ("--seed", "-1"),
            ("--count", "x"),
            ("--count", "1000000000"),
            ("--size", "1000000"),
            ("--size", "100000"),
            ("--seed", "9" * 30),
            ("--count", "9" * 30),
            ("--size", "nan"),
        ):
            base = {"--count": "1", "--size": "16"}
            given = [w for k, v in {**base, more[0]: more[1]}.items() for w in (k, v)]
            yield _case("generate", kind, *given, "-o", "g.npz", names=(more[0], more[0][2:]), refused=True)
    yield _case("generate", "nosuch", "-o", "g.npz", names=("nosuch",), refused=True)


def benches(files: Sequence[Path]) -> Iterator[Case]:
    """Suites, run folders and searches."""
    for p in sorted((files[0].parent / "suites").iterdir()):
        free = p.stem in GOOD_SUITES
        word = p.stem.rpartition("_")[0] or p.stem
        names = (p.name, word.partition("_")[0], p.stem.rpartition("_")[2], "sample", "grid", "task")
        yield _case("bench", f"{IN}suites/{p.name}", "-q", *OUT, names=names, refused=not free)
    base = ("bench", f"{IN}suites/ok.toml", "-q", *OUT)
    wrong = {
        "--images": "0 -1 x 1.5",
        "--batch-size": "0 x 1.5 -1 nan",
        "--solver": "nosuch",
        "--task": "nosuch [",
        "--prior": f"nosuch {IN}ok.png {IN}evil.pt {IN}empty_folder powerlaw:std=-1",
        "--data": f"nosuch {IN}empty_folder {IN}ok.png fields:size=0 fields:size=-1 fields:count=0 fields:count=-1 "
        f"fields:count=1000000000 fields:size=100000 fields:channels=0 fields:exponent=nan stack:path={IN}object.npy "
        f"stack:path={IN}shape_bomb.npy stack:path={IN}ok.npz,key=x stack:path={IN}bomb.npz stack:path={IN}nan.npy "
        f"stack:path={IN}scalar.npy stack:path={IN}sparse_40g.npy photographs:size=0 photographs:size=-5 "
        f"photographs:size=100000 generated:what=x folder:path={IN}set_bad folder:path={IN}set_ok,size=0 "
        f"folder:path={IN}set_ok,size=100000 held:path={IN}set_one held:path={IN}set_ok,count=-1 fields:size=nan",
        "--device": "cuda nope meta",
        "--threads": "0 -1 x",
    }
    for option, values in wrong.items():
        for value in values.split(" "):
            names = (option, option[2:], value, value.rpartition("/")[2], value.rpartition(":")[2].partition("=")[0])
            free = option == "--threads" or value.endswith("ok.png") or "nan.npy" in value
            yield _case(*base, f"{option}={value}", names=(*names, "path"), refused=not free)
    for grid in (
        "nosuch",
        "nosuch.toml",
        "../../etc/passwd",
        f"{IN}ok.png",
        f"{IN}empty_folder",
        "",
        "x\0y",
        "a" * 300,
    ):
        yield _case("bench", grid, "-q", *OUT, names=(grid[:20].partition("\0")[0], "grid"), refused=True)
    for name in (*RUNS, "records_folder"):
        yield _case("report", f"{IN}runs/{name}", *OUT, names=(name,), refused=True)
        yield _case("compare", f"{IN}runs/{name}", f"{IN}runs/{name}", names=(name,), refused=True)
    for name in ("nosuch", f"{IN}ok.png", f"{IN}empty_folder", "", "x\0y"):
        yield _case("report", name, *OUT, names=(name.rpartition("/")[2].partition("\0")[0],), refused=True)
        yield _case("compare", name, name, names=(name.rpartition("/")[2].partition("\0")[0],), refused=True)
    for value in ("nan", "-1", "0", "inf", "x"):
        command = ("report", f"{IN}runs/cells_empty", *OUT, f"--megabytes={value}")
        yield _case(*command, names=("cells_empty", "megabytes"), refused=True)
    tune = ("tune", *BLUR, "-q", *OUT)
    fixed = {
        "--data": "fields:size=16,count=1,channels=3",
        "--solver": "ddrm:steps=2",
        "--prior": "powerlaw",
        "--trials": "2",
    }
    wrong = {
        "--trials": "0 -1 x 1.5",
        "--seeds": "0 -1 1000000000000",
        "--images": "0 -1",
        "--objective": "nosuch fid",
        "--vary": "nosuch=1:2 eta=1 eta=2:1 eta=nan:1 eta=0:1:log eta=1:inf eta=a|b eta steps=1.5:2 eta=-1e400:1 "
        "=1:2 eta=1:2:lin",
        "--minutes": "-1 nan inf x 0",
        "--device": "nope meta",
        "--prior": f"nosuch {IN}ok.png",
        "--solver": f"nosuch tv:nosuch=1 {IN}solver_two.toml",
        "--data": f"nosuch {IN}empty_folder fields:count=1000000000",
        "--operator": "nosuch mri",
        "--noise": "nosuch gaussian:sigma=-1",
        "--schedule": "nosuch edm:sigma_max=-1",
    }
    for option, values in wrong.items():
        for value in (*values.split(" "), ""):
            given = [w for k, v in fixed.items() if k != option for w in (k, v)]
            names = (
                option,
                option[2:],
                value.rpartition("/")[2],
                value.partition("=")[0],
                value.rpartition(":")[2].partition("=")[0],
                "unknown metric" if option == "--objective" else "",
            )
            yield _case(
                *tune, *given, f"{option}={value}", names=tuple(n for n in names if n), refused=value not in ("", "inf")
            )


def trainings(files: Sequence[Path]) -> Iterator[Case]:
    """Data, recipes and options of training."""
    base = ("train", "denoiser")
    end = ("-q", *OUT, "--steps", "1", "--device", "cpu")
    few = ("--set", "data.validation=1", "--set", "watching.samples=1", "--set", "optimiser.batch=2")
    for p in files:
        bad = _broken(p.name) or p.name.startswith(("set_one", "set_bad", "bomb", "train_bomb", "sparse"))
        if p.suffix in (".npz", ".idx", ".gz", ".tar", ".png", ".npy") or p.name.startswith("set_"):
            if p.name in ("train_ok.npz", "set.tar") or p.name == "set_ok":
                continue
            yield _case(*base, IN + p.name, *end, *few, names=(p.name, "data", "patch"), refused=bad)
    for place in ("nosuch", "/etc/passwd", "/dev/zero", "/dev/null", "", ".", "x\0y"):
        names = (place.partition("\0")[0], "data")
        yield _case(*base, place, *end, names=names, refused=True)
        yield _case("train", "autoencoder", place, *end, names=names, refused=True)
    ok = f"{IN}train_ok.npz"
    for text in (
        "x",
        "a.b=1",
        "data.square=-1",
        "data.square=0.5",
        "data.nosuch=1",
        "data.square=1000000",
        "data.pad=1000000",
        "data.pad=8",
        "data.patch=64",
        "data.channels=2",
        "data.validation=0",
        "data.validation=1000000",
        "data=3",
        ".=1",
        "optimiser.lr=nan",
        "optimiser.lr=-1",
        "optimiser.lr=inf",
        "optimiser.lr=x",
        "optimiser.batch=1000000000",
        "optimiser.batch=0",
        "optimiser.seed=-1",
        "optimiser.seed=99999999999999999999999",
        "optimiser.beta1=2",
        "optimiser.beta2=nan",
        "optimiser.weight_decay=-1",
        "optimiser.clip=nan",
        "optimiser.ema=nan",
        "optimiser.decay=nan",
        "optimiser.warmup=-1",
        "network.layers_per_block=0",
        "network.layers_per_block=1000000",
        "network.block_out_channels=[]",
        "network.block_out_channels=[3]",
        "network.block_out_channels=[16,16,16,16]",
        "network.block_out_channels=[1000000,1000000]",
        "network.block_out_channels=x",
        "network.nosuch=1",
        "network.norm_num_groups=0",
        "network.norm_num_groups=7",
        "network.act_fn=nosuch",
        "network.pixel_unshuffle=3",
        "network.pixel_unshuffle=0",
        'network.down_block_types=["x"]',
        "network.attention_head_dim=0",
        "diffusion.sigma_max=-1",
        "diffusion.p_std=nan",
        "diffusion.p_mean=nan",
        "diffusion.schedule=nosuch",
        "watching.sigmas=[]",
        "watching.sigmas=[nan]",
        "watching.sigmas=[-1]",
        "watching.samples=0",
        "watching.minutes=nan",
        "watching.samples=1000000000",
        "watching.sampling_steps=1000000000",
        "watching.steps=-1",
    ):
        key = text.partition("=")[0].rpartition(".")[2]
        names = (key, text.partition(".")[0]) if key else ("--set",)
        yield _case(*base, ok, *end, "--set", "data.validation=8", "--set", text, names=names, refused=True)
    for more in (
        ("--steps", "0"),
        ("--steps", "-1"),
        ("--steps", "1.5"),
        ("--minutes", "0"),
        ("--minutes", "-1"),
        ("--minutes", "nan"),
        ("--minutes", "inf"),
        ("--minutes", "x"),
        ("--device", "cuda"),
        ("--device", "meta"),
        ("--precision", "int8"),
        ("--precision", ""),
        ("--init", "nosuch"),
        ("--init", f"{IN}empty_folder"),
        ("--init", f"{IN}ok.png"),
        ("--autoencoder", "nosuch"),
        ("--autoencoder", f"{IN}empty_folder"),
        ("--recipe", "nosuch"),
        ("--recipe", f"{IN}config_broken.toml"),
        ("--recipe", f"{IN}recipe_number.toml"),
        ("--recipe", f"{IN}recipe_network.toml"),
        ("--recipe", f"{IN}suites/binary.toml"),
        ("--recipe", f"{IN}empty_folder"),
        ("--recipe", f"{IN}suites/nested.toml"),
        ("--resume", "--quiet"),
    ):
        end = () if more[0] in ("--steps", "--minutes") else ("--steps", "1")
        names = (more[0], more[0][2:], more[1].rpartition("/")[2])
        command = (*base, ok, "-q", *OUT, *end, "--set", "data.validation=8", *more)
        yield _case(*command, names=tuple(n for n in names if n), refused=True)
    for source in ("nosuch", f"{IN}empty_folder", f"{IN}ok.png", f"{IN}unet_broken", "x\0y"):
        command = ("train", "consistency", "--from", source, *OUT, "--steps", "1", "-q")
        yield _case(*command, names=(source.rpartition("/")[2].partition("\0")[0],), refused=True)
    yield _case("train", names=("WHAT",), refused=True)
    yield _case("train", "nosuch", "x", *OUT, names=("nosuch",), refused=True)


def others(_: Sequence[Path]) -> Iterator[Case]:
    """What is left: lists, problems with known posteriors, the demo, no command at all."""
    for more in (("nosuch",), ("solvers", "nosuch"), ("solvers", ""), ("operators", "../x"), ("solvers", "lmaps", "x")):
        yield _case("list", *more, names=(more[-1], "name"), refused=True)
    quick = {"--problem": "two", "--solver": "dps:steps=2", "--samples": "10", "--seeds": "1", "--jobs": "1"}
    wrong = {
        "--problem": "nosuch mixture:d=0 mixture:d=-1 mixture:d=1000000000 mixture:d=8,m=9 mixture:d=8,m=0 "
        "mixture:sigma=nan mixture:sigma=0 mixture:sigma=-1 grf:side=0 grf:side=1000000 grf:side=-1 grf:side=3000 "
        "funnel:d=0 funnel:d=-1 funnel:d=1 funnel:d=1000000000 mixture:d=x mixture:nosuch=1",
        "--solver": "nosuch tv dps:steps=0 dps:steps=-1 dps:nosuch=1 dps:steps=1000000000000",
        "--seeds": "0 -1 x 1000000000 1.5",
        "--samples": "0 1 -1 x 1000000000 1.5",
        "--jobs": "0 -1 x 1000000",
    }
    for option, values in wrong.items():
        for value in (*values.split(" "), ""):
            given = [w for k, v in {**quick, option: value}.items() for w in (f"{k}={v}",)]
            own = value.rpartition(":")[2].partition("=")[0]
            own = (own, "unknown name", *(f"{w} must" for w in ("d", "m")))
            names = tuple(n for n in (option[2:], value, *own, *_words(value)) if n)
            yield _case("exact", "-q", *OUT, *given, names=names, refused=value != "")
    for value in ("0", "-1", "x", "1.5", "1000000", "nan"):
        yield _case("demo", f"--size={value}", "-q", "--prior", "powerlaw", *OUT, names=("size",), refused=True)
    for value in ("nosuch", f"{IN}ok.png", f"{IN}empty_folder"):
        command = ("demo", "--size", "16", "-q", *OUT, "--prior", value)
        yield _case(*command, names=(value.rpartition("/")[2],), refused=True)
    yield _case(names=("COMMAND",), refused=True)
    for word in ("nosuch", "", "restor", "--nosuch", "-h2"):
        yield _case(word, names=(word, "COMMAND", "-h/--help"), refused=True)
    for command in ("restore", "simulate", "bench", "report", "compare", "tune", "generate", "prior"):
        yield _case(command, names=("required", "arguments"), refused=True)
