// Owns how a model of the hub is named: `ORG/NAME`, optionally `@REVISION`; pure, `hub.ts` calls it.

/** A model of the hub at a revision (branch, tag or commit). */
export interface HubId {
  /** `ORG/NAME`. */
  readonly name: string;
  readonly revision: string;
}

const DEFAULT_REVISION = 'main';
const COMMIT = /^[0-9a-f]{40}$/;
/** Source: huggingface_hub, `validate_repo_id`: word characters inside, none of `-` `.` at the ends. */
const NAME_PART = /^[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9_])?$/;
/** Source: git-check-ref-format, without the characters nobody uses in names of revisions. */
const REVISION = /^[A-Za-z0-9_][A-Za-z0-9._+-]*(?:\/[A-Za-z0-9_][A-Za-z0-9._+-]*)*$/;
const MAX_REVISION_LENGTH = 200;

/** Whether a revision is a commit, which never changes. */
export function isCommit(revision: string): boolean {
  return COMMIT.test(revision);
}

function isRevision(text: string): boolean {
  return text.length <= MAX_REVISION_LENGTH && REVISION.test(text) && !text.includes('..');
}

/** Reads `ORG/NAME[@REVISION]`; undefined for everything else, which is then the path of a folder. */
export function parseHubId(text: string): HubId | undefined {
  const at = text.indexOf('@');
  const name = at < 0 ? text : text.slice(0, at);
  const revision = at < 0 ? DEFAULT_REVISION : text.slice(at + 1);
  const parts = name.split('/');
  const named =
    parts.length === 2 &&
    parts.every((part) => NAME_PART.test(part)) &&
    !name.includes('--') &&
    !name.includes('..') &&
    !name.endsWith('.git');
  return named && isRevision(revision) ? { name, revision } : undefined;
}

/** The id as it is typed. */
export function formatHubId({ name, revision }: HubId): string {
  return revision === DEFAULT_REVISION ? name : `${name}@${revision}`;
}
