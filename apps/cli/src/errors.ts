import { isInspectError } from '@iommukit/inspect';
import { isTokenError } from '@iommukit/kernel';
import { isQemuError } from '@iommukit/qemu';
import { isScenarioError } from '@iommukit/scenario';

/** The command was used wrongly, or its input cannot be used: exit code 2, and a message that names the place. */
export class UsageError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'UsageError';
  }
}

/** 0 fine · 1 a finding or a failed run · 2 wrong usage or input that cannot be used. */
export const EXIT = { FINE: 0, FINDING: 1, USAGE: 2 } as const;

/** True for errors that are about what the user gave, or has: exit code 2. */
export function isUsersError(error: unknown): error is Error {
  const isInput = isScenarioError(error) || isTokenError(error) || isInspectError(error);
  return error instanceof UsageError || isInput || isQemuOfUser(error);
}

/** QEMU cannot be had or started, which is not about what it did. */
function isQemuOfUser(error: unknown): boolean {
  return isQemuError(error) && ['MISSING', 'NO_SPACE', 'REFUSED', 'UNUSABLE'].includes(error.code);
}

/** True for errors that are told without a stack, whatever the exit code. */
export function isExplained(error: unknown): error is Error {
  return isUsersError(error) || isQemuError(error);
}

const FILE_PROBLEMS: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such file or directory',
  EISDIR: 'it is a directory',
  ENOTDIR: 'a part of its path is no directory',
  EACCES: 'no permission',
  ENOSPC: 'no space is left',
};

/** Why the system refused to read or write a file, in words. */
export function fileProblem(error: unknown): string {
  const code = (error as NodeJS.ErrnoException).code ?? String(error);
  return FILE_PROBLEMS[code] ?? code;
}
