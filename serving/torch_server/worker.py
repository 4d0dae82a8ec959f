"""The worker process: loads one package, then runs one batch after another.

Run by the server as `python -m serving.torch_server.worker SOCKET_FD PARENT_PID`; it is told what to load
in the first frame. One process serves one version of one model, so whatever native code does here, it
does to that version only: a crash loses one batch, a leak ends with the process.

The Python binding of AOTInductor holds the GIL while it loads and runs; here nothing else needs it.
"""

from __future__ import annotations

import ctypes
import gc
import os
import platform
import resource
import signal
import socket
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ml_dtypes
import numpy as np

from gateway.tensors import Array
from model_store.records import FileRecord
from serving.torch_server.frames import Frame, FrameReader, encode_frame
from serving.torch_server.package import Limits, PackageRefused, check_archive, open_verified

if TYPE_CHECKING:
    import torch

_PR_SET_PDEATHSIG = 1
_PR_SET_NO_NEW_PRIVS = 38


def main() -> None:
    """Load what the first frame asks for, answer it, then answer every batch until the server hangs up."""
    descriptor, parent_pid = (int(word) for word in sys.argv[1:3])
    _confine(parent_pid)
    control = socket.socket(fileno=descriptor)
    # Else a process that a package starts would keep it open after us.
    control.set_inheritable(False)
    frames = _receive(control)
    try:
        program = Program(next(frames).fields)
    except PackageRefused as exc:
        _send(control, Frame("refused", {"kind": exc.reason, "reason": str(exc)}))
        return
    _send(control, Frame("ready", {"device": program.device}))
    gc.freeze()  # torch stays; to look through it for garbage takes longer than many a batch
    with program.without_gradients():
        for frame in frames:
            _send(control, program.run(frame))
            if not program.is_sound():
                sys.exit("the device does not answer any more")


class Program:
    """One loaded package, on one device."""

    def __init__(self, order: Mapping[str, Any]) -> None:
        """Verify, check and load the package.

        Args:
            order: `folder`, `entry` and `files` (name to sha256 and bytes) of the artifact, the
                `device` that it was built for, and the `threads` it may use.

        Raises:
            PackageRefused: says why.
        """
        self.device = str(order["device"])
        files = {name: FileRecord(**record) for name, record in order["files"].items()}
        with open_verified(Path(order["folder"]), order["entry"], files) as file:
            check_archive(file, device=self.device, machine=platform.machine(), limits=Limits())
            # After the checks, because it takes a second; and before it, no native code of ours to attack.
            import torch  # noqa: PLC0415

            self._torch = torch
            self._loader = self._load(file.fileno(), int(order["threads"]))

    def without_gradients(self) -> AbstractContextManager[Any]:
        """What to run batches in: entered once, because it costs as much as a small batch."""
        mode: AbstractContextManager[Any] = self._torch.inference_mode()
        return mode

    def _load(self, descriptor: int, threads: int) -> Any:
        torch = self._torch
        torch.set_num_threads(threads)
        if self.device == "cuda" and not torch.cuda.is_available():
            raise PackageRefused("device", "was built for CUDA, and there is no CUDA device here")
        # The loader behind torch._inductor.aoti_load_package, whose import costs seconds and memory.
        # Arguments: the path, the model in it, whether single-threaded, runners, device index.
        index = 0 if self.device == "cuda" else -1
        try:
            return torch._C._aoti.AOTIModelPackageLoader(  # noqa: SLF001  # the public one costs too much
                f"/proc/self/fd/{descriptor}", *("model", False, 1, index)
            )
        except RuntimeError as exc:
            raise PackageRefused("load", f"torch cannot load it: {_first_line(exc)}") from exc

    def run(self, frame: Frame) -> Frame:
        """Run one batch: an `answer` with the outputs and the milliseconds it took, or `failed`."""
        started = time.perf_counter()
        try:
            inputs = [self._as_torch(array) for array in frame.tensors]
            outputs = tuple([self._as_numpy(tensor) for tensor in self._loader.run(inputs)])
        except Exception as exc:  # noqa: BLE001  # supervisor: whatever a package raises is its answer
            return Frame("failed", {"reason": _first_line(exc)})
        return Frame("answer", {"run_ms": (time.perf_counter() - started) * 1e3}, outputs)

    def is_sound(self) -> bool:
        """Whether another batch may be run: some CUDA errors leave a process that answers nothing more."""
        if self.device != "cuda":
            return True
        try:
            self._torch.cuda.synchronize()
        except RuntimeError:
            return False
        return True

    def _as_torch(self, array: Array) -> torch.Tensor:
        torch = self._torch
        if array.dtype == ml_dtypes.bfloat16:
            tensor = torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
        else:
            tensor = torch.from_numpy(array)
        return tensor if self.device == "cpu" else tensor.to(self.device)

    def _as_numpy(self, tensor: torch.Tensor) -> Array:
        torch = self._torch
        if tensor.dtype == torch.bfloat16:
            bits: Array = tensor.view(torch.int16).numpy(force=True)
            return bits.view(ml_dtypes.bfloat16)
        array: Array = tensor.numpy(force=True)  # off the device, if it is on one
        return array


def _first_line(exc: Exception) -> str:
    # C++ errors carry a stack after the first line, which is no business of a caller.
    return next((line for line in str(exc).splitlines() if line.strip()), type(exc).__name__)[:500]


def _confine(parent_pid: int) -> None:
    """Die with the server, leave signals to it, gain no privileges, leave no core dumps."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    libc = ctypes.CDLL(None, use_errno=True)
    for option, value in ((_PR_SET_PDEATHSIG, signal.SIGKILL), (_PR_SET_NO_NEW_PRIVS, 1)):
        if libc.prctl(option, value, 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), f"prctl {option}")
    if os.getppid() != parent_pid:
        sys.exit("the server went away")
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with suppress(OSError):  # some sandboxes have no such file
        # When memory runs out, a worker goes before the server does.
        Path("/proc/self/oom_score_adj").write_text("500", encoding="ascii")


def _receive(control: socket.socket) -> Iterator[Frame]:
    reader = FrameReader()
    while count := control.recv_into(reader.buffer):
        if (frame := reader.advance(count)) is not None:
            yield frame


def _send(control: socket.socket, frame: Frame) -> None:
    for buffer in encode_frame(frame):
        control.sendall(buffer)


if __name__ == "__main__":
    main()
