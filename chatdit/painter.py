"""The painter of a session: known at once, loaded when first needed or on a thread behind."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from chatdit.config import ConfigError
from chatdit.tools.types import ToolError

if TYPE_CHECKING:
    from chatdit.tools.dit.model import DiT
    from chatdit.tools.dit.rows import SamplingDefaults


class LazyPainter:
    """One model on one device. Threads share it; a failed load is reported once and tried again next time."""

    def __init__(self, source: str, *, device: str = "auto", dtype: str = "auto") -> None:
        self.source = source
        self.device = device
        self.dtype = dtype
        self._loading = threading.Lock()
        self._dit: DiT | None = None
        self._failure: BaseException | None = None
        self._facts: tuple[SamplingDefaults, str] | None = None

    @property
    def name(self) -> str:
        """For the status line: `pocket`, the folder's name, or the hub id."""
        is_folder = self.source != "pocket" and Path(self.source).is_dir()
        return Path(self.source).resolve().name if is_folder else self.source

    @property
    def loaded(self) -> bool:
        """Whether `dit()` answers at once."""
        return self._dit is not None

    def dit(self) -> DiT:
        """The loaded model; waits for a load that is under way. Raises what the load raised."""
        with self._loading:
            if self._dit is not None:
                return self._dit
            if self._failure is not None:
                failure, self._failure = self._failure, None
                raise failure
            from chatdit.tools.dit.model import DiT

            self._dit = DiT.load(self.source, device=self.device, dtype=self.dtype)
            return self._dit

    def warm(self, also: Callable[[], object] | None = None) -> None:
        """Load on a daemon thread, after calling `also` there; failures wait for the next `dit()`."""

        def load() -> None:
            try:
                if also is not None:
                    also()
                self.dit()
            except BaseException as error:  # whatever it is, who draws must see it
                self._failure = error

        if not self.loaded:
            threading.Thread(target=load, name="chatdit-warm", daemon=True).start()

    def defaults(self) -> SamplingDefaults:
        """Size, panels, steps and guidance, read without loading the weights. Raises as `weights_hash`."""
        return self._known()[0]

    def known_defaults(self) -> SamplingDefaults | None:
        """The defaults if they have been read already; this never loads anything."""
        return self._facts[0] if self._facts is not None else self._dit.defaults if self._dit is not None else None

    def device_kind(self) -> str | None:
        """ "cpu" or "cuda", as far as that is known without loading anything."""
        if self._dit is not None:
            return str(self._dit.device.type)
        return None if self.device == "auto" else self.device.partition(":")[0]

    def weights_hash(self) -> str:
        """What identifies the weights, without loading them. Raises ConfigError for a model that is not there."""
        return self._known()[1]

    def _known(self) -> tuple[SamplingDefaults, str]:
        if self._facts is None:
            self._facts = self._read_facts()
        return self._facts

    def _read_facts(self) -> tuple[SamplingDefaults, str]:
        from chatdit.tools.dit.folders import find_folder, fingerprint

        try:
            folder = find_folder(self.source)
        except ToolError as error:
            raise ConfigError(f"model = {self.source!r} cannot be used: {error}") from None
        if self._dit is not None:
            return self._dit.defaults, self._dit.weights_hash
        return self._defaults_of(folder), fingerprint(folder)

    def _defaults_of(self, folder: Path) -> SamplingDefaults:
        from chatdit.tools.dit.autoencoder import PocketAutoencoder
        from chatdit.tools.dit.folders import read_json
        from chatdit.tools.dit.layout import latent_part
        from chatdit.tools.dit.packing import pack_factor
        from chatdit.tools.dit.rows import SamplingDefaults

        usage = read_json(folder / "model_index.json").get("defaults")
        if not isinstance(usage, dict):  # only pocket folders say; other families know it once they are loaded
            return self.dit().defaults
        config = read_json(folder / "transformer" / "config.json")
        channels, text_width = (int(str(config[name])) for name in ("in_channels", "joint_attention_dim"))
        channels = latent_part(channels, text_width, layout=bool(usage.get("layout")))
        latent = read_json(folder / "vae" / "config.json")["latent_channels"]
        shift = read_json(folder / "scheduler" / "scheduler_config.json")["shift"]
        side = PocketAutoencoder.downscale * pack_factor(channels, int(str(latent)))
        return SamplingDefaults(shift=float(str(shift)), open_vocabulary=False, token_size=side, **usage)
