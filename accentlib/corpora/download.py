"""Fetch a known corpus's archives once: checked, unpacked, and gone on with where a download broke off."""

import os
import sys
from pathlib import Path

from ..config import InputError

CACHE_VARIABLE = "ACCENTLIB_DATA"


def cache_folder() -> Path:
    """Where downloads are kept: the environment variable ACCENTLIB_DATA, or the user's cache."""
    import pooch

    return Path(os.environ.get(CACHE_VARIABLE) or pooch.os_cache("accentlib"))


def fetch(name: str, archives: dict[str, str | None], *, about: str) -> Path:
    """Download and unpack a corpus; what is already there is not asked for again.

    Parameters
    ----------
    name : str
        The folder in the cache.
    archives : dict
        URL and sha256 (None: not known) of each archive.
    about : str
        Title, home page and licence, said before anything is fetched.

    Returns
    -------
    Path
        The folder with the unpacked archives.

    Raises InputError if an archive cannot be fetched, or is not the one that was published.
    """
    import pooch

    folder = cache_folder() / name
    pooch.get_logger().setLevel("WARNING")
    print(f"{about}\nkept in {folder}", file=sys.stderr)
    for url, digest in archives.items():
        archive = url.rsplit("/", 1)[-1]
        unpack = pooch.Unzip if archive.endswith(".zip") else pooch.Untar
        # each archive into a folder of its own: OpenSLR's do not hold one
        into = str(folder / archive.split(".tar")[0].removesuffix(".zip"))
        try:
            pooch.retrieve(
                url,
                digest,
                fname=archive,
                path=folder,
                downloader=resumed,
                processor=unpack(extract_dir=into),
            )
        except ValueError as error:  # another hash; pooch has removed the file
            raise InputError(f"{url}: not the file that was published ({error})") from None
        except OSError as error:  # requests' errors are ones
            raise InputError(f"{url}: download failed ({error}); run it again to go on") from None
        if digest is None:
            found = pooch.file_hash(str(folder / archive))
            print(f"{archive}: no checksum is published; its sha256 is {found}", file=sys.stderr)
    return folder


def resumed(url: str, output_file: str | os.PathLike, pooch) -> None:
    """A pooch downloader that keeps what came and asks for the rest."""
    import requests
    from tqdm import tqdm

    part = Path(output_file).with_name(url.rsplit("/", 1)[-1] + ".part")
    have = part.stat().st_size if part.is_file() else 0
    with requests.get(url, stream=True, timeout=60, headers={"Range": f"bytes={have}-"}) as answer:
        if answer.status_code == 416:  # nothing is left to send
            answer.close()
        else:
            answer.raise_for_status()
            if answer.status_code != 206:
                have = 0  # the server sends it all again
            left = int(answer.headers.get("Content-Length", 0))
            bar = tqdm(
                total=have + left, initial=have, unit="B", unit_scale=True, desc=part.stem,
                file=sys.stderr, disable=None,
            )  # fmt: skip
            with part.open("ab" if have else "wb") as file, bar:
                for block in answer.iter_content(1 << 16):
                    file.write(block)
                    bar.update(len(block))
    os.replace(part, output_file)
