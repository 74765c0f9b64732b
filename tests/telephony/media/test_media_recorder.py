"""The recording: playable at every moment, both sides aligned to the sample."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import wave
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from telephony.errors import MediaError
from telephony.media.recorder import Recorder


def frame(value: int, samples: int = 160) -> NDArray[np.int16]:
    return np.full(samples, value, np.int16)


def read(path: Path) -> tuple[NDArray[np.int16], NDArray[np.int16]]:
    """Caller and agent as any player sees them."""
    with wave.open(str(path)) as file:
        assert (file.getnchannels(), file.getsampwidth()) == (2, 2)
        sound = np.frombuffer(file.readframes(file.getnframes()), "<i2").reshape(-1, 2)
        assert len(sound) == file.getnframes()
    return sound[:, 0], sound[:, 1]


def test_the_file_can_be_played_after_every_tick(tmp_path: Path) -> None:
    """A worker may be killed at any moment: what is on disk is a whole WAV, at most a second behind."""
    path = tmp_path / "audio.wav"
    with Recorder(path, 8000) as recorder:
        assert len(read(path)[0]) == 0
        for n in range(1, 121):
            recorder.frame(frame(n), frame(-n))
            caller, agent = read(path)
            assert n * 160 - 8000 < len(caller) <= n * 160
            assert caller.tolist() == [k // 160 + 1 for k in range(len(caller))]
            assert (agent == -caller).all()
    assert len(read(path)[0]) == 120 * 160


def test_caller_is_left_agent_is_right_and_silence_keeps_its_place(tmp_path: Path) -> None:
    """Sample positions are wall time: a silent agent and a skipped tick take their 20 ms."""
    path = tmp_path / "audio.wav"
    with Recorder(path, 8000) as recorder:
        recorder.frame(frame(1), None)
        recorder.frame(frame(2), frame(20))
        recorder.skip(2)
        assert recorder.samples == 640
        recorder.frame(frame(3), frame(30))
    caller, agent = read(path)
    assert caller[::160].tolist() == [1, 2, 0, 0, 3]
    assert agent[::160].tolist() == [0, 20, 0, 0, 30]


def test_a_pause_records_silence_of_its_length(tmp_path: Path) -> None:
    """A card number is read out: nothing of it on disk, and nothing after it shifted."""
    path = tmp_path / "audio.wav"
    with Recorder(path, 8000) as recorder:
        for n in range(1, 101):
            if n == 40:
                recorder.pause()
            if n == 71:
                recorder.go_on()
            recorder.frame(frame(n), frame(n))
    expected = [0 if 40 <= n < 71 else n for n in range(1, 101)]
    assert [side[::160].tolist() for side in read(path)] == [expected, expected]


def test_buffers_are_clean_after_each_write(tmp_path: Path) -> None:
    """Silence in the second second must not repeat the first."""
    path = tmp_path / "audio.wav"
    with Recorder(path, 16000) as recorder:
        for _ in range(50):
            recorder.frame(frame(7, 320), frame(8, 320))
        recorder.pause()
        for _ in range(60):
            recorder.frame(frame(7, 320), frame(8, 320))
    caller, agent = read(path)
    assert len(caller) == 110 * 320
    assert not caller[16000:].any()
    assert not agent[16000:].any()


def test_after_closing_frames_are_ignored(tmp_path: Path) -> None:
    """The clock may tick once more; a second close is nothing."""
    path = tmp_path / "audio.wav"
    recorder = Recorder(path, 8000)
    recorder.frame(frame(1), None)
    recorder.close()
    recorder.close()
    recorder.frame(frame(2), None)
    recorder.skip(3)
    assert len(read(path)[0]) == 160


def test_a_place_that_cannot_be_written_is_refused_at_the_beginning(tmp_path: Path) -> None:
    """Before the call is answered, not in its first tick."""
    with pytest.raises(FileNotFoundError):
        Recorder(tmp_path / "missing" / "audio.wav", 8000)


def test_a_full_disk_ends_the_recording_not_the_call(tmp_path: Path) -> None:
    """The file-size limit of the process stands in for the disk: EFBIG as good as ENOSPC."""
    path = tmp_path / "audio.wav"
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    recorder = Recorder(path, 8000)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (70_000, hard))
        for _ in range(200):
            recorder.frame(frame(1), frame(1))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)
    assert recorder.error is not None
    assert "audio.wav" in recorder.error
    assert "free the disk" in recorder.error
    recorder.close()
    assert len(read(path)[0]) == 16000


KILLED = """
import os, signal, sys
import numpy as np
from telephony.errors import MediaError
from telephony.media.recorder import Recorder
recorder = Recorder(sys.argv[1], 8000)
for n in range(125):
    recorder.frame(np.full(160, 5, np.int16), None)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_process_leaves_a_file_that_plays(tmp_path: Path) -> None:
    """2.5 s were recorded; two of them are there and whole."""
    path = tmp_path / "audio.wav"
    root = Path(__file__).parents[3]
    env = {**os.environ, "PYTHONPATH": str(root)}
    done = subprocess.run([sys.executable, "-c", KILLED, str(path)], env=env, check=False)
    assert done.returncode == -signal.SIGKILL
    assert read(path)[0].tolist() == [5] * 16000


def test_a_recording_goes_on_where_its_killed_writer_stopped(tmp_path: Path) -> None:
    """Another worker takes the call over: the header is repaired, and what was missed is silence of its length."""
    path = tmp_path / "audio.wav"
    with Recorder(path, 8000) as first:
        for n in range(1, 51):
            first.frame(frame(n), frame(-n))
    torn = path.read_bytes()[:-3]  # killed inside a write: half a pair is there, and the header is behind
    path.write_bytes(torn[:4] + bytes(4) + torn[8:40] + bytes(4) + torn[44:])
    with Recorder.resume(path, 8000, at_sample=52 * 160) as second:
        assert second.samples == 52 * 160
        assert len(read(path)[0]) == 52 * 160, "it can be played at once"
        second.frame(frame(100), None)
    caller, agent = read(path)
    assert caller[::160].tolist() == [*range(1, 51), 0, 0, 100]
    assert agent[::160].tolist() == [*range(-1, -51, -1), 0, 0, 0]


def test_without_a_position_a_recording_goes_on_behind_what_is_there(tmp_path: Path) -> None:
    path = tmp_path / "audio.wav"
    with Recorder.resume(path, 8000) as first:  # nothing is there yet
        first.frame(frame(1), None)
    with Recorder.resume(path, 8000) as second:
        second.frame(frame(2), None)
    assert read(path)[0][::160].tolist() == [1, 2]


def test_what_is_no_recording_of_this_call_is_not_written_over(tmp_path: Path) -> None:
    """Another rate would play at the wrong speed; a text file is somebody's."""
    path = tmp_path / "audio.wav"
    Recorder(path, 16000).close()
    with pytest.raises(MediaError, match="no stereo recording of 16 bits at 8000 Hz"):
        Recorder.resume(path, 8000)
    path.write_text("These notes were left here by the administrator.")
    with pytest.raises(MediaError, match="Move it away"):
        Recorder.resume(path, 8000)
    assert path.read_text().startswith("These notes")
