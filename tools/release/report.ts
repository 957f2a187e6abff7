/** What a rehearsal says while it goes on, and what it found wrong. */
export class Report {
  readonly problems: string[] = [];
  began = Date.now();

  /** A part is through; the time since the one before is shown. */
  done(what: string): void {
    const now = Date.now();
    console.log(`  ✓ ${what} (${((now - this.began) / 1000).toFixed(1)} s)`);
    this.began = now;
  }

  problem(what: string): void {
    this.problems.push(what);
  }
}
