"""Download a known corpus's archives once: checked, unpacked, and resumed after an interruption."""

import os
import sys
from pathlib import Path

from ..config import InputError

CACHE_VARIABLE = "ACCENTLIB_DATA"  # names the folder for downloads, instead of the user's cache


def fetch(name: str, archives: dict[str, str | None], *, about: str) -> Path:
    """Print ``about``, get and unpack missing ``archives`` (URL: sha256 or None), and return their folder."""
    try:
        import pooch
        import requests  # noqa: F401  for resumed
    except ImportError:
        raise InputError("downloading needs pooch and requests: pip install 'accentlib[download]'") from None
    folder = Path(os.environ.get(CACHE_VARIABLE) or pooch.os_cache("accentlib")) / name
    pooch.get_logger().setLevel("WARNING")
    print(f"{about}\nkept in {folder}", file=sys.stderr)
    for url, digest in archives.items():
        archive = url.rsplit("/", 1)[-1]
        into = folder / archive.split(".tar")[0].removesuffix(".zip")  # OpenSLR's archives hold no folder
        unpack = (pooch.Unzip if archive.endswith(".zip") else pooch.Untar)(extract_dir=str(into))
        try:
            pooch.retrieve(url, digest, archive, folder, processor=unpack, downloader=resumed)
        except ValueError as error:  # a wrong sum; pooch has removed the file
            raise InputError(f"{url}: not the file that was published ({error})") from None
        except OSError as error:  # requests' errors are OSErrors
            raise InputError(f"{url}: download failed ({error}); run it again to resume") from None
        if digest is None:
            found = pooch.file_hash(str(folder / archive))
            print(f"{archive}: no checksum is published; its sha256 is {found}", file=sys.stderr)
    return folder


def resumed(url: str, output_file: str | os.PathLike, _pooch: object) -> None:
    """A downloader for pooch that keeps what has arrived in a ``.part`` file and asks for the rest."""
    import requests
    from tqdm import tqdm

    part = Path(output_file).with_name(url.rsplit("/", 1)[-1] + ".part")
    have = part.stat().st_size if part.is_file() else 0
    with requests.get(url, stream=True, timeout=60, headers={"Range": f"bytes={have}-"}) as answer:
        if answer.status_code != 416:  # 416: nothing is left to send
            answer.raise_for_status()
            have = have if answer.status_code == 206 else 0  # 200: the server sends the whole file
            total = have + int(answer.headers.get("Content-Length", 0))
            bar = tqdm(desc=part.stem, total=total, initial=have, unit="B", unit_scale=True, disable=None)
            with part.open("ab" if have else "wb") as file, bar:
                for block in answer.iter_content(1 << 16):
                    bar.update(file.write(block))
    os.replace(part, output_file)
