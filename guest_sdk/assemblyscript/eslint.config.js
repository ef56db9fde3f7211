import { defineConfig } from "eslint/config";
import tseslint from "typescript-eslint";

export default defineConfig(
  { ignores: ["**/build/"] },
  tseslint.configs.strict,
  tseslint.configs.stylistic,
  {
    rules: {
      eqeqeq: "off",
      "no-shadow": "error",
      "no-var": "error",
      "prefer-const": "error",
    },
  },
  {
    // AssemblyScript is not quite TypeScript.
    files: ["**/*.ts"],
    rules: {
      // It infers no type from a default.
      "@typescript-eslint/no-inferrable-types": "off",
      // Generic functions may return nothing.
      "@typescript-eslint/no-invalid-void-type": "off",
      // It has no `for of`.
      "@typescript-eslint/prefer-for-of": "off",
    },
  },
);
