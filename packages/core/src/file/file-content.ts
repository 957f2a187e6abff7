/** What a regular file holds, and what of it is in memory. One however often it is opened; lives as long as its maker likes. */
export interface FileContent {
  readonly name: string;
  /** Its size: a page that begins at or beyond it does not exist. */
  bytes: number;
  /** What is on disk, by page (of the CPU's size, counted in 4 KiB); holes read as zeros. */
  readonly stored: Map<number, Uint8Array>;
  /** What is in memory: the frame of each page. */
  readonly cached: Map<number, number>;
  /** Pages in memory that were written since they came from {@link stored}. */
  readonly dirty: Set<number>;
  /** Open files that refer to it; with the last one {@link cached} is written back and emptied. */
  openers: number;
}

/** Which page of which file. */
export interface FilePage {
  readonly content: FileContent;
  /** Address in the file / 4096. */
  readonly index: number;
}
