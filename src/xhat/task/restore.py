"""The short way: one measurement in, restored images with their account out."""

import math
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

from ..baselines.base import Baseline
from ..checks import SEEDS, image_shape, instance, number, path, whole
from ..errors import ANY, SpecError, TooLongError, about
from ..files import record
from ..files.arrays import Range
from ..files.cut import Cut
from ..files.folder import alone
from ..files.kept import kept_of
from ..files.measurement import Measurement, Source
from ..files.noted import Noted, noting
from ..files.readers.load import load_reference, split
from ..files.record import packages_of
from ..likelihoods import PinvGaussian
from ..metrics.registry import choose, metric
from ..notes import note
from ..numerics.device import pick_device
from ..operators.building import kind
from ..priors import Prior
from ..schedule import Schedule
from ..spec import factors, parse
from .account import begun, ended, hashes, identity, provenance
from .as_seen import all_as_seen
from .checkpoint import Checkpoint, Snapshot, window_of
from .cost import check_cost, paced
from .coverage import Calibration, load_calibration
from .cutting import advised, cut_alike, cut_out
from .film import Light, lifted_operator, lifted_prior, light_of, lit, rate_of, seen, stacked
from .grey import as_grey, stored_in_colour
from .intake import ONLY_FLOATS, in_range, taken
from .lists import listwise
from .look import AUTO, look
from .parts import (
    NoiseLike,
    OperatorLike,
    PriorLike,
    Shape,
    SolverLike,
    adopted,
    as_noise,
    as_schedule,
    as_solver,
    image_for,
    prior_for,
)
from .progress import Tell, bar
from .ranking import check_starts, ranked
from .restoration import Restoration
from .results import decoded, results
from .run import run
from .samplers import POINT, no_posterior, sampler_for
from .start import account_of, begun_at
from .task import Task
from .unknown_blur.ask import asks_for_kernel, with_kernel
from .usual import UNNAMED, named_prior, unnamed

SAMPLES = 100_000  # at most


@listwise
def restore(
    y: Source,
    operator: OperatorLike | None = None,
    noise: NoiseLike | None = None,
    prior: PriorLike = UNNAMED,
    solver: SolverLike | None = None,
    *,
    schedule: str | Schedule | None = None,
    scale: int | None = None,
    flicker: Light = None,
    cut: Cut | None = None,
    seed: int = 0,
    samples: int = 1,
    starts: int = 1,
    start: Source | None = None,
    start_rho: float | None = None,
    calibration: str | Path | Calibration | None = None,
    batch_size: int | None = None,
    window: int | None = None,
    shape: Shape | None = None,
    reference: Source | None = None,
    metrics: Sequence[str] | None = None,
    device: str = "auto",
    stop_at: float | None = None,
    record_every: int = 0,
    value_range: Range | None = None,
    progress: bool | str | Tell | None = None,
    checkpoint: str | Path | None = None,
    resume: bool = False,
) -> Restoration:
    """Estimates x from one measurement y = A(x) + noise.

    Example:

        y = xhat.simulate("photo.png", "gaussian_blur:std=1.5", "gaussian:sigma=0.05", seed=1)
        r = xhat.restore(y, solver="lmaps:steps=10", samples=2)
        r.save("out/")

    Parameters:
        y: one measurement: a path, an array, a PIL image, a tensor or what `simulate` returns. Arrays of pictures are
            (h, w), (h, w, c) or (c, h, w). uint8 and uint16 arrays are pixels; floats are in the units of y, which for
            images means [−1, 1] unless `value_range` says otherwise. `scan.h5#12` is item 12 of a file with several.
            The file of a video, MP4 or GIF, or numbered pictures `frames/%04d.png`, is a video (c, t, h, w): operator
            and prior then are those of a frame unless they are lifted themselves (`frames`). A list, a data set or a
            batch (b, c, h, w) is restored one by one, and gives a list: then `operator`, `noise` and `reference` may be
            lists, too, with one for each.
        operator: A, as a spec string, an `Operator`, a function on batches, (b, *image) to (b, *data), a matrix
            (data, pixels), or an operator of SciPy, SigPy or DeepInverse; all but the first two may need `shape`. None
            takes what the file says, and for the file of a picture what a look at it tells, which is said in one line
            (logger "xhat") and recorded.
        noise: what the detector adds: a number, the sigma of Gaussian noise in the units of y (0 is none), a spec
            string or a `Noise`. None takes what the file says. "auto" estimates it from the picture, as None does for
            the file of a picture.
        prior: a spec string, the path of a folder or checkpoint, a `Prior`, a pipeline of diffusers, or any function
            (x, sigma) → x₀ that denoises x = x₀ + sigma n. A network of the noise in time steps is
            `xhat.Denoiser.from_eps(net, alphas_cumprod)`. "auto", with options behind it or not, is `photo` for
            pictures and for the data of a science the prior of its images, which is said. Classical solvers ignore it.
        solver: a spec string, a `Solver` or its class. None is lmaps, which returns a point, for one image, and for
            several samples a solver that draws them: mmps where A is linear and the noise Gaussian, daps elsewhere.
        schedule: the noise levels to run on; None takes those of the prior.
        scale: how many times smaller than the image the picture is, in place of an operator.
        flicker: what is done about the light of the file of a video: "auto" estimates a gain for each frame and takes
            them out, "off" leaves it, and numbers > 0, one for each frame of y, are the gains. None is auto where no
            operator is given, and elsewhere off, with one line that says so if the film flickers.
        cut: the part of the file's picture that is restored, and its size (`files.cut`); a reference of the whole
            picture is cut in the same way.
        seed, samples: sample i uses the random stream `seed` + i.
        starts: runs a solver that returns a point from so many starts, with the random streams `seed` + i, and keeps
            the one of highest posterior density; `modes` has them all. 1 is the plain run.
        start: begin at an image instead of noise: "y", the measurement, where it has the shape of the image;
            "classical", an answer without a prior (a hole's harmonic surface, damped least squares, A⁺ y); or an image
            as `reference` takes it. It gets noise of level `start_rho` first where the solver's state is a noisy image.
        start_rho: the noise level ρ at which such a run begins, in the units of images: what is finer than about ρ is
            drawn anew. The steps of the solver are spread over what its levels have below it. The two come together.
        calibration: what `calibrate` or `xhat calibrate` measured for these very specs, or its file: standard
            deviations and intervals are scaled by it, also for a solver that returns a point.
        batch_size: how many samples or starts are computed at once; None means all. It changes time and memory, and a
            result by rounding only: by less than 1e-3 in [−1, 1], an eighth of a grey level, also with conjugate
            gradient. A solver that differentiates a network of ReLUs can differ by more, by 0.03 in one image of three
            that were looked at: where a unit is at zero, rounding decides whether it counts.
        window: how many frames of a video, or slices of a volume, are restored at once; None takes all that memory
            holds. Windows share up to 16 frames and fade into each other.
        shape: the shape of the image, (c, h, w) for pictures, if it does not follow from the measurement.
        reference: the true image, for the metrics only; no solver sees it.
        metrics: the names of metrics; None takes those of the kind of image.
        device: "cpu", "cuda", "mps", or "auto" for the best there is.
        stop_at: a sample is final as soon as the root mean square of its residual is at most this multiple of the one
            that the noise explains.
        record_every: keep the first sample's estimate after every `record_every` steps, in `frames`; 0 keeps none.
        value_range: what black and white are in y and `reference`, where they are arrays or tensors of floats, or files
            that hold nothing but one: (0, 1), (0, 255). A `noise` that is a number is in these units, too; any other is
            in those of [−1, 1]. Without it, a picture that may be in [0, 1] is refused.
        progress: True shows a bar: below the cell of a notebook, otherwise on stderr, behind this text if it is one.
            None shows it in notebooks only. A function is called with a `Progress` after each step.
        checkpoint: a file in which the run is kept until its result is saved (`Restoration.save` removes the file).
        resume: continue from `checkpoint`; the result is the same bit for bit. Without it, a file that is there already
            is refused, so that an interrupted run is not lost by mistake.

    Returns a `Restoration`: `images` of shape (samples, *image), their residuals beside the expected ones, metrics,
    calls, seconds, and the record. `save` writes it as a folder.

    Raises SpecError for an unknown name or option, DataError for a file that cannot be read, ShapeError for shapes that
    do not fit, MismatchError if the solver cannot take the problem, and DivergedError if an image becomes infinite;
    all are `XhatError`.

    To watch or to change every step, see `likelihood`, `trajectory` and `solve`.
    """
    if checkpoint == "" or (resume and checkpoint is None):
        raise SpecError('a checkpoint needs a path; "" is none' if checkpoint == "" else "resume needs a checkpoint")
    whole("seed", seed, 0, SEEDS - whole("samples", samples, 1, SAMPLES) + 1)
    whole("seed", seed, 0, SEEDS - whole("starts", starts, 1, SAMPLES) + 1)
    batch_size = None if batch_size is None else whole("batch_size", batch_size, 1)
    scale = None if scale is None else whole("scale", scale, 1, 256)
    record_every = whole("record_every", record_every)
    shape = None if shape is None else image_shape(shape)
    stop_at = (
        None if stop_at is None or (isinstance(stop_at, float) and stop_at == math.inf) else number("stop_at", stop_at)
    )
    for name in instance("metrics", metrics or (), list | tuple, "a list of names of metrics"):
        metric(instance("a metric", name, str, "the name of one"))
    schedule = as_schedule(schedule)
    checkpoint = None if checkpoint is None else path(checkpoint, "checkpoint")
    named, solver = solver is not None or samples == 1, as_solver(POINT if solver is None else solver)
    check_starts(solver, starts, samples)
    if (start is None) != (start_rho is None):
        raise SpecError("start and start_rho come together: the image at which a run begins, and the noise level there")
    calibration = load_calibration(calibration) if isinstance(calibration, str | Path) else calibration
    if calibration and samples < 2:
        raise SpecError("a calibration is for several samples: give as many as it was measured with")
    if named and samples > 1 and not calibration and (warning := no_posterior(solver)):
        note("%s", warning)
    if starts > 1 and record_every:
        raise SpecError(
            "record_every keeps the steps of the first start, which need not be the best: leave one of them"
        )
    if isinstance(y, Measurement):  # of an object that is still in memory
        operator = y.parts.get("operator") if operator is None else operator
        noise = y.parts.get("noise") if noise is None else noise
    operator = None if operator is None else adopted(operator, shape)
    noted = Noted()
    with noting(noted):
        found, ranged = taken(y, operator, shape, value_range)
    truth = bare = None
    file = isinstance(reference, str | Path)
    mark = (str(reference) if file else "the reference", ANY, "the reference " if file else "")
    if reference is not None:
        with about(*mark), noting(noted):
            true, also = taken(reference, operator, shape, value_range)
            truth, ranged = load_reference(true), ranged or also
        bare = true if true.truth is None else None  # in the units of its file, where no reader has scaled it
    if value_range is not None and not ranged:
        raise SpecError(ONLY_FLOATS)
    noise = in_range(noise, value_range)
    noise = noise if noise is None or isinstance(noise, str) else as_noise(noise)
    found = stacked(found, operator, shape)
    if isinstance(operator, str) and found.operator is None and found.y.ndim == 3 and assumes(operator):
        found = replace(found, y=found.y[0]) if len(found.y) == 1 else found  # a recording, and looked at as one
    if unnamed(prior):
        known_shape = shape or found.image_shape or (None if truth is None else tuple(truth.shape))
        told = None if isinstance(solver, Baseline) else found.origin
        prior = named_prior(str(prior), operator or found.operator, known_shape, told)
    if flicker is not None and found.rate is None:
        raise SpecError("flicker is for the file of a video; for an array, the operator flicker takes gains")
    if found.rate is not None or found.grid is not None:  # the file of a video or of a volume
        word = "frames" if found.grid is None else "slices"
        operator = lifted_operator(operator, word)
        gains = light_of(found, operator, flicker) if word == "frames" else None
        found, scale = seen(found, operator, noise, scale, word, gains), None
        if gains and isinstance(operator, str):
            operator = lit(gains, operator)
            if flicker == AUTO:
                found = replace(found, guessed={**found.guessed, "operator": operator})
        noise = None if noise == AUTO else noise
        prior = prior if isinstance(solver, Baseline) else lifted_prior(prior, operator or found.operator, word)
    if cut:
        found = cut_out(found, cut)
        if truth is not None:
            with about(*mark):
                truth = cut_alike(truth, found, cut)
    grey = truth is not None and stored_in_colour(truth)
    channels = shape[0] if shape else None if truth is None or grey else len(truth)

    def known() -> object:
        nonlocal prior
        prior = prior_for(solver, prior, pick_device(device)) if isinstance(prior, str | Path) else prior
        return prior

    def built_for(given: object) -> Prior:
        return prior_for(solver, given, pick_device(device))

    found = as_grey(found, operator or found.operator, channels, known)
    whole_file = found.rate is not None or found.grid is not None
    kept = None if found.file is None or whole_file or found.native else kept_of(found.file)
    if kept and found.window:
        kept = kept.within(found.window)
    kernel = None
    if asks_for_kernel(made := operator or found.operator, solver):
        found, kernel = with_kernel(found, str(made), noise, lambda: built_for(known()), scale)
        operator = None
        noise = None if noise == AUTO else noise
    else:
        found = look(found, operator, noise, scale, light=not issubclass(solver.needs, PinvGaussian))
        operator = found.guessed.get("operator", operator) if isinstance(operator, str) else operator
    if truth is not None and bare is not None and bare.scale == 1:
        truth = truth / found.scale  # as y was
    if kept and "mask" in found.physics:
        kept = kept.opaque()  # what was transparent is filled
    if truth is not None and (made := operator or found.operator):
        with about(*mark):
            truth = image_for(made, truth[:1] if grey and len(found.y) == 1 else truth)
    task = Task(
        operator=operator,
        noise=None if noise == AUTO else noise,
        prior=prior,
        solver=solver,
        seeds=[range(seed, seed + max(samples, starts))],
        measurement=found,
        truth=None if truth is None else truth[None],
        schedule=schedule,
        shape=shape,
        batch_size=batch_size,
        stop_at=stop_at,
        record_every=record_every,
        window=window_of(Path(checkpoint)) if resume and checkpoint and window is None else window,
    )
    if not named:
        known()
        place = pick_device(device)
        built = prior_for(solver, prior, place)
        task = replace(task, prior=prior, solver=sampler_for(built, built.problem(task.problem().to(place))))
    with noting(noted):
        with advised(found, known):
            job = task.job(device)
        if start is not None:
            job = replace(job, start=begun_at(job, start, start_rho, found, cut, value_range))
    names = [] if truth is None else choose(metrics or None, truth, job.problem.A.modality)
    scores = {name: metric(name) for name in names}
    account = begun(task, job, metrics=scores) | {"measurement_scale": found.scale, "record_every": record_every}
    if job.windows:
        account["windows"] = [list(span) for span in job.windows.spans]
        note("%s: %s", found.origin, job.windows)
    source = split(y)[0] if isinstance(y, str | Path) else found.file
    account["provenance"] = provenance(source, job.prior)
    account["provenance"]["files"] = hashes(dict.fromkeys(filter(None, (source, *noted.files))))
    account["versions"] |= packages_of(noted.libraries)
    account["provenance"]["guessed"] = dict(found.guessed)
    if cut:
        account["provenance"]["cut"] = {k: v for k, v in vars(cut).items() if v is not None}
    if job.start:
        account["start"] = account_of(job.start)
    if calibration:
        calibration.check(account)
        account["calibration"] = calibration.account()
    more = [k for k in ("windows", "start") if k in account]
    own = identity(account, ("measurement_scale", "record_every", *more))
    saver = Checkpoint(Path(checkpoint), own) if checkpoint is not None else None
    with alone(saver.path.parent, f".{saver.path.name}.lock") if saver else nullcontext():
        if saver and not resume:
            saver.check_new()
        snapshot = saver.load() if saver and resume else Snapshot()
        check_cost(job, sum(map(len, snapshot.images)) // len(job.spans))
        batches = len(job.spans) * -(-max(samples, starts) // (batch_size or max(samples, starts)))
        left = job.steps * (batches - len(snapshot.images)) - snapshot.step
        with bar(job.steps, batches, len(snapshot.images), progress) as watch:
            try:
                end = run(job, paced(watch, left), saver, snapshot)
            except TooLongError:
                if saver and not resume:
                    saver.remove()  # it was not agreed to: nothing is left behind
                raise
    end = all_as_seen(job, end)
    (result,) = results(job, end, task.truth, scores)
    modes = None
    if starts > 1:
        began = time.perf_counter()
        modes, result = ranked(job, end, result)
        end = replace(end, calls=end.calls + modes.calls, seconds=end.seconds + time.perf_counter() - began)
        account |= {"seeds": [modes.seeds[0]], "samples": 1, "ranking": modes.account()}
    return Restoration(
        images=result.images,
        residual=result.residual,
        expected=result.expected,
        calls=end.calls,
        seconds=end.seconds,
        metrics=result.metrics,
        record=record.finite(account | ended([result], end.calls, end.seconds)),
        problem=job.problem.to("cpu"),
        reference=truth,
        frames=tuple((step, decoded(job, x[None])[0]) for step, x in end.frames),
        checkpoint=saver,
        kept=kept,
        modes=modes,
        calibration=calibration,
        rate=rate_of(found, result.images),
        grid=found.grid,
        native=found.native,
        affine=found.affine if same_pixels(job.problem.A.shape, task.operator, found) else None,
        kernels=result.kernels if kernel is None else kernel.float(),
    )


def assumes(operator: str) -> bool:
    """Whether an operator takes something for granted of a recording, which it says of one without channels."""
    return hasattr(kind(operator), "assumed")


def same_pixels(shape: Shape, operator: object, found: Measurement) -> bool:
    """Whether the pixels of an image of `shape`, as a user has it and its operator, are those of which the file told
    where they lie.
    """
    if operator is None or found.operator is None:
        return found.image_shape in (None, shape)
    if not isinstance(operator, str):
        return False
    size, told = (parse(factors(text)[-1]).options.get("pixel") for text in (operator, found.operator))
    return size == told and found.image_shape in (None, shape)
