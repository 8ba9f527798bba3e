"""Every number knows whom to thank: sources, the bibliography, and BibTeX of what a run used."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path


@dataclass(frozen=True)
class Source:
    """A place in the literature: a key of :data:`BIBLIOGRAPHY` and where in the paper."""

    key: str
    where: str = ""

    @property
    def reference(self) -> "Reference":
        """The bibliography's entry."""
        return BIBLIOGRAPHY[self.key]

    def __str__(self) -> str:
        return f"{self.reference.short}{', ' + self.where if self.where else ''}"


@dataclass(frozen=True)
class Reference:
    """One paper."""

    key: str
    authors: str
    year: int
    title: str
    arxiv: str
    venue: str = ""

    @property
    def short(self) -> str:
        """Author and year, as a sentence cites it."""
        names = self.authors.split(" and ")
        family = names[0].split(",")[0]
        return (
            f"{family} et al. {self.year}"
            if len(names) > 2
            else f"{' and '.join(n.split(',')[0] for n in names)} {self.year}"
        )

    @property
    def url(self) -> str:
        """The abstract's address."""
        return f"https://arxiv.org/abs/{self.arxiv}"

    def bibtex(self) -> str:
        """The BibTeX entry."""
        lines = [
            f"  author = {{{self.authors}}},",
            f"  title = {{{self.title}}},",
            f"  year = {{{self.year}}},",
            f"  eprint = {{{self.arxiv}}},",
            "  archivePrefix = {arXiv},",
        ]
        if self.venue:
            lines.append(f"  note = {{{self.venue}}},")
        return "\n".join([f"@misc{{{self.key},", *lines, "}"])


class _Bibliography(Mapping[str, Reference]):
    """``bibliography.toml``, read when it is first asked."""

    @cached_property
    def _entries(self) -> dict[str, Reference]:
        import tomllib

        text = Path(__file__).with_name("bibliography.toml").read_text(encoding="utf-8")
        return {key: Reference(key, **fields) for key, fields in tomllib.loads(text).items()}

    def __getitem__(self, key: str) -> Reference:
        return self._entries[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)


BIBLIOGRAPHY: Mapping[str, Reference] = _Bibliography()


def bibtex(sources: Iterable[Source]) -> str:
    """BibTeX of the papers behind ``sources``, each once, in order of first use."""
    keys = dict.fromkeys(source.key for source in sources)
    return "\n\n".join(BIBLIOGRAPHY[key].bibtex() for key in keys)
