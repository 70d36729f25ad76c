"""Standard errors, tests and confidence intervals of fitted coefficients."""

from fastgd.inference._summary import CoefSummary, coef_summary, coef_table

__all__ = ["CoefSummary", "coef_summary", "coef_table"]
