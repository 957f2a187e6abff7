/** How a page is wanted, for the page-fault handler (PF-3). */
export const FAULT_FLAG = {
  WRITE: 1,
  INSTRUCTION: 2,
  /** Not privileged. */
  USER: 4,
  /** On behalf of another task's address space. */
  REMOTE: 8,
} as const;

/** What the page-fault handler came to: no bit is a minor fault (PF-4). */
export const FAULT_RESULT = {
  OOM: 0x1,
  SIGBUS: 0x2,
  MAJOR: 0x4,
  HWPOISON: 0x10,
  SIGSEGV: 0x40,
  FALLBACK: 0x800,
} as const;

/** The bits of {@link FAULT_RESULT} that are errors: the answer is INVALID (PF-4). */
export const FAULT_ERROR =
  FAULT_RESULT.OOM | FAULT_RESULT.SIGBUS | FAULT_RESULT.HWPOISON | FAULT_RESULT.SIGSEGV | FAULT_RESULT.FALLBACK;
