"""`xhat app`: the arguments, and the server that runs until Ctrl-C."""

import webbrowser
from argparse import ArgumentParser, Namespace
from pathlib import Path

from ..errors import DataError, SpecError


def arguments(p: ArgumentParser) -> None:
    """The arguments of `xhat app`."""
    p.add_argument(
        "--folder",
        type=Path,
        default=Path("xhat_pictures"),
        help="where pictures, masks and results are kept; default: xhat_pictures",
    )
    p.add_argument("--port", type=int, default=0, help="the port on 127.0.0.1; default: one that is free")
    p.add_argument("--no-browser", action="store_true", help="only print the address")
    p.set_defaults(run=run_app)


def run_app(args: Namespace) -> int:
    """Serves the page until Ctrl-C. Raises DataError if the folder or SpecError if the port cannot be used."""
    from ..files.folder import check_folder, undone
    from .server import Server
    from .studio import Studio

    folder: Path = args.folder.expanduser().absolute()
    check_folder(folder)
    try:
        with undone(folder, ()):
            folder.mkdir(parents=True, exist_ok=True)
            server = Server(Studio(folder), args.port)
    except OverflowError as e:
        raise SpecError(f"--port {args.port}: is no port") from e
    except OSError as e:
        if not folder.is_dir():
            raise DataError(f"{folder}: cannot be made ({e.strerror})") from e
        raise SpecError(f"--port {args.port}: cannot be used ({e.strerror})") from e
    with server:
        print(f"{server.address}\npictures are kept in {folder}; Ctrl-C ends it", flush=True)
        if not args.no_browser:
            webbrowser.open(server.address)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print()
    return 0
