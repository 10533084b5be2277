"""Linear inverse scattering: the permittivity of an object from the waves that it scatters."""
