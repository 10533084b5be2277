"""Posterior solvers. This import list is the registry of the package's own solvers: one line per solver."""

from ..likelihoods import Likelihood
from ..priors.base import Prior
from ..registry import Registry, concrete
from .base import AnySolver, Estimator, Solver, State
from .blind_dps import BlindDPS
from .blind_reddiff import BlindREDDiff
from .consistent_csgm import ConsistentCSGM
from .csgm import CSGM
from .daps import DAPS, DAPSExact
from .dcdp import DCDP
from .ddnm import DDNM
from .ddnm_plus import DDNMPlus
from .ddpg import DDPG
from .ddrm import DDRM
from .dds import DDS
from .dflow import DFlow
from .diffpir import DiffPIR
from .diffstategrad import DiffStateGrad
from .dmplug import DMPlug
from .dmps import DMPS
from .dps import DPS
from .dreamsampler import DreamSampler
from .efficient_score_prior import EfficientScorePrior
from .flowdps import FlowDPS
from .fps import FPS, FPSSMC
from .gibbs_ddrm import GibbsDDRM
from .hqs import HQS
from .ilo import ILO
from .ilvr import ILVR
from .implicit_prior import ImplicitPrior
from .latent_resample import LatentReSample
from .lgd import LGD
from .lmaps import LMAPS
from .map import MAP
from .map_ga import MAPGA
from .map_ga_generic import MAPGAGeneric
from .map_ga_pigdm import MAPGAPiGDM
from .mcg import MCG
from .mcgdiff import MCGDiff
from .mmps import MMPS
from .mpgd import MPGD
from .p2l import P2L
from .pigdm import PiGDM
from .pigdm_score import PiGDMScore
from .pmc import PMCRED, PMCPnP
from .pnp_admm import PnPADMM
from .pnpdm import PnPDM
from .psld import PSLD
from .red import RED
from .reddiff import REDDiff
from .repaint import RePaint
from .resample import ReSample
from .score_ald import ScoreALD
from .score_ilo import ScoreILO
from .score_prior import ScorePrior
from .score_sde import ScoreSDE
from .shred import SHRED
from .sitcom import SITCOM
from .smcdiff import SMCDiff
from .snips import SNIPS
from .stsl import STSL
from .tds import TDS
from .tmpd import TMPD, TMPDDiag, TMPDRowSum
from .treg import TReg

SOLVERS: Registry[type[AnySolver]] = Registry("solvers", Solver, concrete(vars(), Solver))


def fitting(prior: Prior, like: Likelihood) -> list[str]:
    """The names of the solvers that run with `prior` on the problem `like`, with their options at the defaults.

    One that has an option without a default, or whose code breaks here, is left out.
    """
    return [name for name, cls in SOLVERS.items() if _runs(cls, prior, like)]


def _runs(cls: type[AnySolver], prior: Prior, like: Likelihood) -> bool:
    try:
        return cls().mismatch(prior, like) is None
    except Exception:  # whatever the code of a plug-in raises; `xhat list solvers` says it
        return False
