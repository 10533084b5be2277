"""Volumes in the files of medicine and microscopy: NIfTI, and folders with a series of DICOM."""

from ...admission import FOLDER
from ...registry import Plugin
from . import dicom, nifti

PLUGIN = Plugin("volumes", readers={".nii": nifti.read, ".gz": nifti.read, ".dcm": dicom.read, FOLDER: dicom.read})
