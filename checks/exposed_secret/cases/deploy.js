var deploy = { registry: 'https://registry.test/', header: 'Bearer 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' };
