import type { OpenFile, SupervisorHandle, SvaHandle } from '@iommukit/core';
import type { Job, JobResult } from './job.js';
import { NO_PASID } from './work.js';

/** What the driver keeps of an open file. */
export interface EngineFile {
  /** Whether the device may use an address space, and which change of that is under way. */
  phase: 'unbound' | 'binding' | 'bound' | 'unbinding';
  handle: SvaHandle | null;
  /** In place of {@link handle}: the file is the kernel's own, for its own addresses. */
  supervisor: SupervisorHandle | null;
  /** The PASID that jobs of the file use from now on; -1: none is known, or their requests have none. */
  pasid: number;
  /** {@link handle} is for requests without PASID: jobs have none. */
  withoutPasid: boolean;
  /** The job under way or the last one; null: none yet. */
  job: Job | null;
  /** The PASID that the job was given. */
  jobPasid: number;
  /** The device was told of the job. */
  started: boolean;
  /** Null while the job waits or runs. */
  result: JobResult | null;
}

/** What the driver keeps of its device. */
export interface EngineState {
  /** The file whose job the device runs. */
  owner: OpenFile | null;
  /** Why the device cannot share address spaces; empty: it can. */
  refusal: string;
  /** Its SVA feature is on. */
  sharing: boolean;
  /** The device reports page faults, and the IOMMU takes them. */
  faults: boolean;
  /** The device was removed: it answers nothing any more. */
  gone: boolean;
}

/** A file that was just opened. */
export const NEW_FILE: EngineFile = {
  phase: 'unbound',
  handle: null,
  supervisor: null,
  pasid: NO_PASID,
  withoutPasid: false,
  job: null,
  jobPasid: NO_PASID,
  started: false,
  result: null,
};

/** What the driver keeps of a file that it opened. */
export function contextOf(file: OpenFile): EngineFile {
  return file.data as EngineFile;
}

/** True from the submission of a job to its outcome. */
export function isRunning({ job, result }: EngineFile): boolean {
  return job !== null && result === null;
}
