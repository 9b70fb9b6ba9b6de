"""What the folders of the dbt project mean."""

from pathlib import Path

NOT_PUBLISHED = frozenset({"staging", "intermediate"})
"""Folders of models that are not marts."""


def mart_names(project: Path) -> list[str]:
    """Returns the names of the marts, as far as their files tell: dbt alone knows of aliases and disabled models.

    It only reads the names of files, so that a model that does not parse costs nothing else.

    Args:
        project: the folder of the dbt project.
    """
    files = [*project.glob("models/**/*.sql"), *project.glob("models/**/*.py")]
    return sorted(
        {file.stem for file in files if NOT_PUBLISHED.isdisjoint(file.relative_to(project / "models").parts[:-1])}
    )
