"""Every change of a tuned model: it is written once, with the job that trained it."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.db import transaction

from market.bars import from_ns
from optimize.learning.artefacts import Model
from optimize.models import OptimizationJob, TunedModel


@transaction.atomic
def model_save(
    *,
    job_id: UUID,
    name: str,
    digest: str,
    size: int,
    model: Model,
    verdict: str,
    figures: Mapping[str, Any],
) -> TunedModel:
    """Write the model of a job, or return the one that an earlier worker wrote for it before it was lost.

    Training is deterministic, so both are the same; the newer file's digest is kept where a library was updated between.
    """
    job = OptimizationJob.objects.only("created_by_id", "fingerprint").get(pk=job_id)
    description = model.description
    found, _ = TunedModel.objects.update_or_create(
        job_id=job_id,
        defaults={
            "name": name,
            "model_type": description["model_type"],
            "digest": digest,
            "size": size,
            "description": description,
            "fingerprint": job.fingerprint,
            "trained_from": from_ns(description["trained_from_ns"]),
            "trained_until": from_ns(description["trained_until_ns"]),
            "warm_up": model.warmup,
            "verdict": verdict,
            "figures": dict(figures),
            "created_by_id": job.created_by_id,
        },
    )
    return found
