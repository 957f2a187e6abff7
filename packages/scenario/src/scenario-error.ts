/** Why a scenario, an order, a setting or a token was refused: names the file, line and column, and the remedy. */
export class ScenarioError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'ScenarioError';
  }
}

/** True for a {@link ScenarioError} of any copy of this package. */
export function isScenarioError(error: unknown): error is ScenarioError {
  return error instanceof Error && error.name === 'ScenarioError';
}
