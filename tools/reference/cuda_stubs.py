"""Builds empty stand-ins for the CUDA libraries that PyPI's Linux torch wheel is linked against.

Called by setup.sh. The wheel's CPU kernels need none of CUDA, but the loader refuses to open the
wheel's libraries before every library that they name is found, and the real ones are 2 GB. A
stand-in exports the names torch asks for; each returns 100, cudaErrorNoDevice, or that error's
text, so torch behaves as on a machine without a GPU. Needs `cc` and `readelf`.
"""

import re
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

# libcuda, the driver, is left out: torch opens it only after it has found a device.
CUDA_LIBRARY = re.compile(r"\[(lib(?:cu(?!da\.)|nvrtc|nvshmem_host|nccl)[^\]]*)\]")
UNDEFINED = re.compile(r"\bUND\s+(\w+)(?:@(\S+))?")
# The libraries whose symbols carry no version, by the prefix of their function names.
UNVERSIONED = {
    "libnccl": "nccl",
    "libcufile": "cuFile",
    "libcusparseLt": "cusparseLt",
    "libcurand": "curand",
}


def readelf(flag: str, library: Path) -> str:
    """Returns what `readelf` prints of one library."""
    command = ["readelf", "-W", flag, str(library)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def stub(name: str) -> str:
    """Returns the C text of one exported function."""
    if name.endswith(("String", "Name")):
        return f'const char *{name}(void) {{ return "no CUDA device"; }}\n'
    return f"long {name}(void) {{ return 100; }}\n"


def main(folder: Path) -> None:
    """Writes a stand-in for every CUDA library that the libraries in `folder` need."""
    needed: set[str] = set()
    symbols: defaultdict[str, set[str]] = defaultdict(set)
    for library in sorted(folder.glob("*.so")):
        needed |= set(CUDA_LIBRARY.findall(readelf("-d", library)))
        for name, version in UNDEFINED.findall(readelf("--dyn-syms", library)):
            symbols[version].add(name)
    for soname in sorted(needed):
        if (folder / soname).exists():
            continue
        version = "NVSHMEM" if soname.startswith("libnvshmem") else soname
        names = set(symbols[version])
        for start, prefix in UNVERSIONED.items():
            if soname.startswith(start):
                names |= {name for name in symbols[""] if name.startswith(prefix)}
        with tempfile.TemporaryDirectory() as scratch:
            source, script = Path(scratch, "stub.c"), Path(scratch, "stub.map")
            source.write_text("".join(map(stub, sorted(names))))
            script.write_text(f"{version} {{ global: *; }};\n")
            options = (
                []
                if soname.startswith(tuple(UNVERSIONED)) and not symbols[version]
                else [f"-Wl,--version-script={script}"]
            )
            subprocess.run(
                [
                    "cc",
                    "-shared",
                    "-fPIC",
                    "-w",
                    f"-Wl,-soname,{soname}",
                    *options,
                    "-o",
                    str(folder / soname),
                    str(source),
                ],
                check=True,
            )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
