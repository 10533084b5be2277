"""The laws of every operator: shapes, batches, memory layouts, precision, derivatives, counts."""

import torch
from torch import Tensor

from ..errors import ShapeError
from ..numerics.autodiff import vjp
from ..numerics.calls import counting
from ..operators.base import Operator, ProxyOperator
from .law import Law, double, layouts, one_line


def images(A: Operator, batch: int = 0, seed: int = 1) -> Tensor:
    """Random images that `A` takes, (b, *shape), uniform on [−0.9, 0.9], in double precision.

    b is `batch`; 0 stands for as many images as A is built for, or 3 if it takes any number.
    """
    g = torch.Generator().manual_seed(seed)
    x = torch.rand(batch or built_for(A), *A.shape, generator=g, dtype=torch.float64)
    return 1.8 * x - 0.9


def built_for(A: Operator) -> int:
    """How many images the physics of `A` is for; 3 if it is for any number."""
    return max([n for n in A.batches() if n > 1], default=3)


def exactness(A: Operator) -> float:
    """How far equal things may differ: by rounding in the dtype in which A's buffers were computed.

    Build the operator in double precision (`torch.set_default_dtype(torch.float64)`) for the sharpest test.
    """
    single = any(b.dtype in (torch.float32, torch.complex64) for b in A.buffers())
    return 1e-5 if single else 1e-12


def refuses_other_shapes(A: Operator) -> None:
    """Images of another shape than the one that A was built for raise a ShapeError that names it."""
    law = Law(A, "images of another shape raise ShapeError", "`__call__` is overridden in place of `forward`")
    x = torch.zeros(1, *A.shape[:-1], A.shape[-1] + 1)
    error = law.raises(ShapeError, lambda: A(x), f"an image of shape {tuple(x.shape[1:])}")
    law.holds(str(A.shape) in str(error), f"the message does not name the shape {A.shape}: {error}")


def refuses_other_batches(A: Operator) -> None:
    """If the physics differs from image to image, another number of images raises ShapeError."""
    n = built_for(A)
    if all(b == 1 for b in A.batches()):
        return
    law = Law(A, "another number of images raises ShapeError", "a buffer with a batch is not named in `per_image`")
    law.raises(ShapeError, lambda: A(images(A, n + 1).float()), f"{n + 1} images for {n}")


def takes_a_batch(A: Operator) -> None:
    """A takes as many images at once as its physics is for, and one alone."""
    cause = "a tensor that differs from image to image is not named in `per_image`, or `forward` is for one image only"
    law = Law(A, "A takes a batch of images", cause)
    counts = (built_for(A), 1) if all(n == 1 for n in A.batches()) else (built_for(A),)
    for n in counts:
        errors = [e for dtype in (torch.float32, torch.float64) if (e := _error(A, images(A, n).to(dtype)))]
        if len(errors) == 2:  # neither in single nor in double precision
            named = {**dict(A.named_buffers()), **{k: v for k, v in vars(A).items() if isinstance(v, Tensor)}}
            large = [f"{k} {tuple(v.shape)}" for k, v in named.items() if k not in A.per_image and v.shape[:1] > (1,)]
            has = f"; its tensors are {', '.join(large)}" if large else ""
            one = "one image raises" if n == 1 else f"{n} images at once raise"
            raise law.broken(f"{one} {type(errors[0]).__name__} ({one_line(errors[0])}){has}") from errors[0]


def _error(A: Operator, x: Tensor) -> Exception | None:
    try:
        A(x)
    except Exception as e:  # whatever the code of others raises
        return e
    return None


def has_a_gradient(A: Operator) -> None:
    """The data depend on the image for automatic differentiation, which solvers and adjoints use."""
    law = Law(A, "A has a gradient", "`detach`, `.data`, `torch.no_grad` or NumPy in `forward`")
    A, x = double(A), images(A).requires_grad_()
    with torch.enable_grad():
        law.holds(A(x).requires_grad, "A(x) has no gradient in x")


def data_has_its_shape(A: Operator) -> None:
    """A(x) has the shape (b, *A.data_shape)."""
    law = Law(A, "A(x) has the shape (b, *data_shape)", "`data_shape` is set by hand, or `forward` drops the batch")
    x = images(A)
    found, expected = tuple(double(A)(x).shape), (len(x), *A.data_shape)
    law.holds(found == expected, f"A(x) has the shape {found}, not {expected}")


def keeps_its_input(A: Operator) -> None:
    """A(x) leaves x as it was, and gives the same bits when asked again."""
    law = Law(A, "A changes neither x nor itself", "an operation in place (`x *= …`), or a random number in `forward`")
    A, x = double(A), images(A)
    before = x.clone()
    y = A(x)
    law.same(x, before, "x after the call")
    law.same(A(x), y, "the second call")


def takes_images(A: Operator) -> None:
    """A.take(index) is the operator of those images: A.take(i)(x[i]) = A(x)[i]."""
    law = Law(A, "A.take(i)(x[i]) = A(x)[i]", "a tensor that differs from image to image is not named in `per_image`")
    A, x, off = double(A), images(A), exactness(A)
    index = torch.tensor([len(x) - 1, 0, len(x) - 1])
    law.near(A.take(index)(x[index]), A(x)[index], off, off)


def images_do_not_mix(A: Operator) -> None:
    """The data of an image do not depend on its neighbours in the batch."""
    law = Law(A, "images never mix", "a sum, mean, norm or maximum over the batch axis")
    A, x, off = double(A), images(A), exactness(A)
    alone = torch.cat([A.take(torch.tensor([i]))(x[i : i + 1]) for i in range(len(x))])
    law.near(A(x), alone, off, off)


def memory_does_not_matter(A: Operator) -> None:
    """Images that are strided, expanded or have the channels last in memory give the same bits."""
    law = Law(A, "the layout in memory does not matter", "`view`, `as_strided` or an operation in place on the input")
    A = double(A)
    for name, (x, usual) in layouts(images(A)).items():
        try:
            y = A(x)
        except RuntimeError as e:
            raise law.broken(f"images {name} raise {e}") from e
        law.same(y, A(usual), f"images {name}")


def double_follows(A: Operator) -> None:
    """After A.double(), images in double precision give data in double precision."""
    law = Law(A, "A.double() works in double precision", "a tensor that is not a buffer, or a fixed dtype in `forward`")
    try:
        y = double(A)(images(A))
    except RuntimeError as e:
        raise law.broken(f"it raises RuntimeError ({one_line(e)})") from e
    law.holds(y.dtype in (torch.float64, torch.complex128), f"the data are {y.dtype}")


def has_the_gradient_of_its_values(A: Operator) -> None:
    """The gradient by automatic differentiation is the limit of differences (`torch.autograd.gradcheck`)."""
    law = Law(A, "the gradient is that of the values", "`detach`, an operation with a wrong backward pass, or a jump")
    A, x = double(A), images(A).requires_grad_()
    try:
        torch.autograd.gradcheck(A, (x,), fast_mode=True)
    except RuntimeError as e:
        raise law.broken(" ".join(str(e).split())) from e


def counts_its_calls(A: Operator) -> None:
    """One call on b images counts b operator calls."""
    law = Law(A, "A(x) counts one operator call an image", "`__call__` is overridden, or `forward` counts again")
    x = images(A)
    with counting() as calls:
        double(A)(x)
    law.holds(calls.operator == len(x), f"{len(x)} images counted {calls.operator} calls")


def proxy_gradient_is_the_identity(A: ProxyOperator) -> None:
    """The gradient of a proxy operator is that of the identity, and its values are those of its code, bit for bit."""
    law = Law(A, "a proxy has the code's values and the identity's gradient", "`forward` is overridden")
    A, x = double(A), images(A)
    y, pullback = vjp(A, x)
    v = torch.randn(y.shape, generator=torch.Generator().manual_seed(2), dtype=y.dtype)
    law.same(pullback(v), v, "the gradient")
    law.same(y, A.code(x), "the values")
