"""Parts of a user's own, which go by `package.module:NAME`."""

import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from ..errors import SpecError


def own(name: str, written: str) -> Any:
    """What `package.module:NAME` names, of an installed package or of a file in the folder where the program runs.

    An installed module wins over a file of the same name. Raises SpecError if there is no such module or name, and if
    the module breaks as it is imported; `written` says in the message how a name is written.
    """
    module, _, attribute = name.partition(":")
    here = str(Path.cwd())
    added = here not in sys.path and "" not in sys.path
    if added:
        sys.path.append(here)
    try:
        return getattr(import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as e:
        raise SpecError(f"{name}: {e}; {written}, and a module may be a file in {here}") from e
    except Exception as e:  # whatever the code of others raises when it is imported
        raise SpecError(f"{name}: {module} breaks when it is imported, {type(e).__name__}: {e}") from e
    finally:
        if added:
            sys.path.remove(here)
