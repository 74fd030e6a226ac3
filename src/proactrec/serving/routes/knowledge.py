"""What was learned of answers: looked at, watched, and put back."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from fastapi import Path as InPath

from proactrec.serving import knowledge
from proactrec.serving.guides import Guides
from proactrec.serving.learned import GoBack, Knowledge, KnowledgeVersion
from proactrec.serving.schemas import MOST_PAGE, OF_JSON
from proactrec.serving.service import Needs, service_of
from proactrec.store.keys import Access
from proactrec.store.watch import Watch

router = APIRouter(prefix="/v1/knowledge", tags=["knowledge"])
Reads = Annotated[Access, Depends(Needs("report"))]
Operates = Annotated[Access, Depends(Needs("operate"))]
MOST_VERSION = 2**31 - 1


@router.get("")
def get(
    request: Request,
    access: Reads,
    limit: Annotated[int, Query(ge=1, le=MOST_PAGE, description="newest versions")] = 100,
) -> Knowledge:
    """Versions of what was learned, of what, and how well they foretold what came after."""
    with service_of(request).database.reading() as connection:
        return knowledge.told(connection, access.tenant, _guides(request, access), limit)


@router.put("")
def put(request: Request, said: Annotated[Watch, OF_JSON], access: Operates) -> Watch:
    """How learning is watched from now on, and whether it stands still."""
    service, guides = service_of(request), _guides(request, access)
    with service.database.writing() as connection:
        knowledge.watch(
            connection, access.tenant, guides, said, by=access.key_id, at=service.clock()
        )
    return said


@router.post("/{version}/restore")
def restore(
    request: Request,
    version: Annotated[int, InPath(ge=0, le=MOST_VERSION)],
    asked: GoBack,
    access: Operates,
) -> KnowledgeVersion:
    """Guide by an older version again, as a new one; every instance does within some seconds."""
    service, guides = service_of(request), _guides(request, access)
    with service.database.writing() as connection:
        lesson = knowledge.restored(
            connection,
            access.tenant,
            guides,
            version,
            by=access.key_id,
            at=service.clock(),
            reason=asked.reason,
            learns=asked.learns,
        )
        return knowledge.version_of(connection, access.tenant, guides, lesson.version)


def _guides(request: Request, access: Access) -> Guides:
    return service_of(request).instance.host.guides_of(access.tenant)
