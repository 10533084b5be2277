"""What an observation tells of itself: the compact source's flux, and the errors that its noise column leaves out."""

import math

import numpy as np

from .observation import INTRASITE, MICROARCSECOND, Observation

SECONDS = 600.0  # averages on which both are estimated, as `black_hole` takes them
FAR = 2e9  # wavelengths; longer baselines resolve a source of 40 microarcseconds
WIDTH = 40 * MICROARCSECOND  # full width at half maximum of the source, as the EHT's first guess (Paper IV, 6.2.1)
FILLED = 0.073  # the mean of the prior's pictures, as a fraction of white, so that `white` suits the flux
FLUX_ERROR = 0.3  # of the compact flux so estimated: gains of stations lose up to a factor of two


def compact_flux(observation: Observation) -> float | None:
    """The flux in Jy of what fits into the image, from baselines between sites; None if none is short enough.

    The largest amplitude up to 2 Gλ, taken back to zero baseline for a Gaussian of 40 µas. The largest, because gains
    that are not corrected lose flux. Neighbouring stations see extended flux as well and do not tell.
    """
    o = observation.averaged(SECONDS)
    use = (o.length > INTRASITE) & (o.length < FAR) & (np.abs(o.vis) > 5 * o.sigma)
    if not use.any():
        return None
    shrink = np.exp(-((math.pi * WIDTH * o.length[use]) ** 2) / (4 * math.log(2)))
    return float((np.abs(o.vis[use]) / shrink).max())


def systematic_error(observation: Observation) -> float | None:
    """The error of visibilities beyond thermal noise, as a fraction of |V|; None if no triangle tells it.

    Two stations at one site see a third under the same angle, so their closure phase is 0. What it scatters more than
    thermal noise lets it is an error of each of the three, of the fraction that makes the median of φ² right (Paper
    III, section 8.4).
    """
    o = observation.averaged(SECONDS)
    short = o.length < INTRASITE
    place = {(t, i, j): n for n, (t, i, j) in enumerate(zip(o.time, o.first, o.second, strict=True))}
    phases, variances = [], []
    for n in np.flatnonzero(short):
        t, a, b = o.time[n], o.first[n], o.second[n]
        for c in range(len(o.stations)):
            second, third = (place.get((t, *sorted(pair))) for pair in ((b, c), (a, c)))
            if c in (a, b) or second is None or third is None:
                continue
            three = np.array([n, second, third])
            variance = float(((o.sigma[three] / np.abs(o.vis[three])) ** 2).sum())
            if variance < 0.1:  # beyond that a phase is no Gaussian, and |V| is mostly noise
                turn = [
                    v if i < j else v.conjugate() for v, i, j in zip(o.vis[three], (a, b, c), (b, c, a), strict=True)
                ]
                phases.append(float(np.angle(np.prod(turn))))
                variances.append(variance)
    if len(phases) < 8:
        return None
    square, thermal = np.square(phases), np.array(variances)
    low, high = 0.0, 1.0
    for _ in range(40):
        middle = (low + high) / 2
        excess = np.median(square / (thermal + 3 * middle**2)) > 0.455  # the median of χ² with one degree of freedom
        low, high = (middle, high) if excess else (low, middle)
    return low


def described(observation: Observation, pixels: int) -> str:
    """The spec of the operator `black_hole` for an image of so many `pixels`, with the options that follow from the
    observation.
    """
    flux, error = compact_flux(observation), systematic_error(observation)
    options = []
    if flux is not None:
        options += [f"compact={flux:.2g}", f"compact_error={FLUX_ERROR}", f"flux={flux:.2g}"]
        options += [f"white={flux / FILLED / pixels:.2g}"]
    if error is not None:
        options += [f"systematic={error:.2g}"]
    return "black_hole" + (":" + ",".join(options) if options else "")
