/** What tells the entries of the two stages apart. Entries are two 32-bit words; `control` is FLAG bits of the regime. */
export interface Stage {
  isPresent(lo: number): boolean;
  /** A reserved bit is set; `leaf`: the level of a leaf, or 0 for a table. */
  isReserved(lo: number, hi: number, leaf: number): boolean;
  /** LESS bits. */
  lessOf(lo: number, hi: number): number;
  /** No right is left on the way down: as good as not present. */
  isNothing(less: number): boolean;
  /** The low word with the flags that a use sets. */
  accessed(lo: number, control: number): number;
  /** The low word of a leaf that was written to. */
  dirtied(lo: number): number;
  /** Rights of a leaf as a line's flags have them. `less` includes the leaf's own. */
  rightsOf(less: number, lo: number, control: number): number;
  absentReason(want: number, control: number): number;
  reservedReason(control: number): number;
  /** `top`: it is the first table that cannot be read. */
  accessReason(control: number, top: boolean): number;
  /** Flags have to be set by a walk that does not snoop. */
  snoopReason(): number;
  interruptReason(control: number): number;
}
