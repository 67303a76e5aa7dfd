"""One compiled form of a kernel. A family's module lists its own in SPECIALISATIONS;
`all_of` gathers them."""

import dataclasses
import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

POINTER = "*"
FAMILIES = ("augment", "contrastive", "decorrelation")  # modules beside this one


@dataclass(frozen=True)
class Specialisation:
    """What Triton compiles for one launch.

    kernel: the @triton.jit function. label: dtype and configuration, for people.
    arguments: run-time arguments -> type ("*bf16", "i64", "fp32"). Pointers are taken as 16-byte
    aligned (what torch allocates is) unless named in `unaligned`; integers in `multiples` as
    multiples of 16: what the launcher finds in the values.
    constants: tl.constexpr arguments, and arguments that are None.
    targets: names of the targets that launch this form.
    fp_fusion: whether a * b + c may become one rounding. Triton's default differs between releases:
    launchers pass enable_fp_fusion too.
    dots: whether its tl.dot must show as tensor-core instructions on NVIDIA too; False for float32
    in "ieee", which no tensor core of NVIDIA's does.
    wide: whether its layout lets a thread load 128 bits at once, which then must show on NVIDIA;
    False where rows begin anywhere, are gathered, or leave a thread fewer numbers.
    """

    kernel: Any
    label: str
    arguments: Mapping[str, str]
    constants: Mapping[str, Any]
    num_warps: int
    num_stages: int
    targets: tuple[str, ...]
    fp_fusion: bool = True
    dots: bool = True
    wide: bool = True
    unaligned: frozenset[str] = frozenset()
    multiples: frozenset[str] = frozenset()
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return f"{self.kernel.__name__} {self.label}"

    def aligned(self) -> "Specialisation":
        """The form in which every size and stride is a multiple of 16, as most are in use."""
        integers = {n for n, t in self.arguments.items() if t in ("i32", "i64")}
        return dataclasses.replace(
            self, label=f"{self.label}, sizes of 16", multiples=self.multiples | integers
        )

    def source(self) -> Any:
        """For triton.compile."""
        from triton.compiler import ASTSource

        names = self.kernel.arg_names
        missing = set(names) ^ (set(self.arguments) | set(self.constants))
        if missing:
            raise ValueError(f"{self.name}: arguments {sorted(missing)} do not match the kernel")
        aligned = self.multiples | {
            n
            for n, t in self.arguments.items()
            if t.startswith(POINTER) and n not in self.unaligned
        }
        return ASTSource(
            self.kernel,
            {n: self.arguments.get(n, "constexpr") for n in names},
            dict(self.constants),
            {(names.index(n),): [["tt.divisibility", 16]] for n in sorted(aligned)},
        )


def all_of() -> list[Specialisation]:
    """Every form that is launched, of every family."""
    families = (importlib.import_module(f"gpu_objects.{name}") for name in FAMILIES)
    return [form for family in families for form in family.SPECIALISATIONS]
